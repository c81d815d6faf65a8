"""The image server's use cases: what a GET gets and a POST stores, and what has to be rendered or fetched for it (design.md, section 5)."""
