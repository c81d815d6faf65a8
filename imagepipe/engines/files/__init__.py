"""Image files read and mended byte by byte, where an engine needs help."""
