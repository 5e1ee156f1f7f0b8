"""End to end: real programs, out of the process that is observed."""
