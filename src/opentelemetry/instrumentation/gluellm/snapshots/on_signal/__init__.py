"""Reports from a running process, on a signal and for ``gluellm-pools doctor --pid``."""
