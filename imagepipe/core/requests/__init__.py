"""What clients ask for, checked: arguments, paths, URLs, signatures and headers."""
