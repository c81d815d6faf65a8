"""Where images live: content-addressed objects, the catalogue, and the tree that a static server
serves.
"""
