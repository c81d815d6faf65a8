"""What can be done: store, change and look up images, render on demand, fetch originals, verify."""
