"""``gluellm-pools demo``: real any-llm calls against a fake provider, and their pools live."""
