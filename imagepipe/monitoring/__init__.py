"""What an operator sees: the node's counters and status, and the formats that both are published in
(docs/design/contract.md, "What an operator sees").
"""
