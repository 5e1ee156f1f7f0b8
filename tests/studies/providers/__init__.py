"""The census: calls each provider of any-llm, and checks what is reported about its pool."""
