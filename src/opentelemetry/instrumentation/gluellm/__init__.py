"""Makes the connection pools under LLM calls visible."""
