"""ZeroMQ: sockets, keys and the gate in front of them. Nothing else imports txZMQ."""
