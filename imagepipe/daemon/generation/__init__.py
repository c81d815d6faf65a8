"""What a reload replaces: the engine, and everything that serves one set of settings."""
