"""The writer: the one thread that changes the catalogue and the tree."""
