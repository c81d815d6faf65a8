"""XML-RPC: from the XML of a call to a method, and back."""
