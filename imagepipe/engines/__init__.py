"""Render engines: an image's bytes and a plan -> files."""
