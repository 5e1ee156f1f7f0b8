"""Signals: each PromQL once, with its name, unit and description.

The essential ones are defined in `essential.py`, since ``gluellm-pools verify`` runs them as well.
"""
