"""What imagepipe is measured with, beside the servers that people pick today: `make bench`."""
