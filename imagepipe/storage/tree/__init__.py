"""The served tree: the live images as files."""
