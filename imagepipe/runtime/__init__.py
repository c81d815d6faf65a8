"""Threads, the render queue, and profiling."""
