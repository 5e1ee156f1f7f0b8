"""Each PromQL once: its name, expression, unit, and what it shows.

The essential ones are the command's own (`gluellm_pools/verify/queries.py`), since
``gluellm-pools verify`` asks them as well.
"""
