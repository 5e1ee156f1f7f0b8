"""Bad input for what reads foreign bytes: ``gluellm-pools watch``, ``verify`` and ``doctor``."""
