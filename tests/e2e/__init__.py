"""End-to-end tests with real programs, which run outside the observed process."""
