"""Rules: one function per cause, which returns a finding with evidence and advice, or None.

``diagnose.py`` decides which cause suppresses which, and adds the pool to the findings on one pool
name.
"""
