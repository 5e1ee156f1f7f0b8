"""Real frameworks against a fake provider, with and without the instrumentation."""
