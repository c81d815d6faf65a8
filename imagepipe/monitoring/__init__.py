"""What an operator sees: what has happened, how the node stands, and the forms in which both are
told (docs/design/contract.md, "What an operator sees").
"""
