"""How fast boards and rules are over many instances: real series, many times over, in a real store.

``make boards-scale`` prints the table.
"""
