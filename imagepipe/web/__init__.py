"""What clients speak to: XML-RPC over HTTP."""
