"""Programs of ``tests/e2e/test_collector_faults.py``: a Collector at fault harms nothing."""
