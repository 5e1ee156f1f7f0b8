"""A client of each library whose requests are measured; what it talks to is below its pool."""
