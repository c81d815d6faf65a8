"""In which order waiting work is done, so that no client is crowded out."""
