"""The census: each provider of any-llm makes a call, and its pool has to be told for what it is."""
