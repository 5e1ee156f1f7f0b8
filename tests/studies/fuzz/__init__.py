"""Bad input for ``gluellm-pools watch``, which takes bytes from the network."""
