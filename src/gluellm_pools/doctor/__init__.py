"""``gluellm-pools doctor``: what is wrong with the pools of a program, and what to do about it."""
