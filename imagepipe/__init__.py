"""imagepipe: a high-availability image store."""

__version__ = "0.1.0"
