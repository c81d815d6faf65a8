"""Communication with the other nodes: sockets, keys, and the service that performs what the core
decides.
"""
