"""The replication protocol: its messages, and the state machine that every node runs."""
