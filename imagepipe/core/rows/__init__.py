"""Catalogue rows: their versions, what a call does to them, and how the rows of two nodes are
joined.
"""
