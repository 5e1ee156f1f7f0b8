"""``gluellm-pools verify``: what a Prometheus has of the pools, and why not more."""
