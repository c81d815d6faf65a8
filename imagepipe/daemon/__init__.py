"""The process: how a node is built from its settings, starts, reloads and stops."""
