"""Talking to the other nodes: sockets, keys, and the service that does what the core decides."""
