"""Reads and repairs image files byte by byte where an engine needs help."""
