"""What an operator sees: what has happened, how the node stands, and the forms in which both are told (design.md, section 7)."""
