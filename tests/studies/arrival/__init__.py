"""Programs of ``tests/e2e/test_arrival.py``: what a program counts arrives in every store."""
