"""What a measurement says: summaries, tables, pictures and the report in HTML."""
