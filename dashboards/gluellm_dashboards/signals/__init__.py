"""Each PromQL once: its name, expression, unit, and what it tells.

The essential ones are the package's own (`cli/verify/queries.py`), since ``gluellm-pools verify``
asks them too.
"""
