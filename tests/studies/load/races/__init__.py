"""A race of httpcore 1.0, with the instrumentation and without it."""
