"""Reports of `gluellm-pools verify` on real stores, with correct and broken set-ups."""
