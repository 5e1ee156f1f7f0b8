"""What the metrics tell, beside what the operating system, the servers and the clients know."""
