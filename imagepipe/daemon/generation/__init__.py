"""What a reload replaces: the engine, and everything that answers under one set of settings."""
