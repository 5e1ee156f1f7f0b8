"""Each PromQL once: its name, expression, unit, and what it shows.

The essential ones are those of the command (`essential.py`), since
``gluellm-pools verify`` asks them as well.
"""
