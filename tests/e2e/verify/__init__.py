"""What `gluellm-pools verify` says of real stores, in good order and broken in known ways."""
