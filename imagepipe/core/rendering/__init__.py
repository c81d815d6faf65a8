"""Formats, geometry and colour, and the plan of a rendering with every number in it."""
