"""Originals fetched from other HTTP servers."""
