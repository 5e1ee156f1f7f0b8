"""Compares metrics with what the operating system, the servers and the clients know."""
