"""The ImageMagick engine: one `convert` process per job."""
