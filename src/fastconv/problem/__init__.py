"""What an operation is asked to do, checked and normalised: shapes, dtypes and options, no array and no backend."""
