"""Reports of `gluellm-pools verify` on real stores, sound ones and broken ones."""
