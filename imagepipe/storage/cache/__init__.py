"""The render cache: renditions made on demand, within a bound, outside the served tree."""
