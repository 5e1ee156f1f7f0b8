"""A Collector at fault, and programs that are killed: nothing is harmed, and alerts end."""
