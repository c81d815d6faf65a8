"""The libvips engine and its worker processes."""
