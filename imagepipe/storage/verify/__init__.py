"""Verifying that every image is what was stored, and repairing what is not."""
