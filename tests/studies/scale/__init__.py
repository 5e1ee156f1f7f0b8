"""How fast boards and rules are over many instances: real series many times in a real store."""
