"""The catalogue: the SQLite database that says which images there are."""
