"""Times boards and rules over many instances: copies of real series in a real store."""
