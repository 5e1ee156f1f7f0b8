"""``gluellm-pools watch``: an OTLP/HTTP receiver with the live view, for who has no collector."""
