"""What to change, in the words of the client or SDK that has the pool."""
