"""HTTP itself: connections, requests, passwords, timeouts and access rules."""
