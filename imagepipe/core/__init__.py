"""What imagepipe decides, without I/O, clock, randomness, threads or Twisted: values in, values
out.
"""
