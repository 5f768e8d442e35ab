"""Who is measured: fastconv's backends, and other libraries beside them (`peers/`)."""
