"""ZeroMQ: sockets, keys, and the gate in front of them. Only this package imports txZMQ."""
