"""Libraries that have changed since this package was written: ``python -m studies.fail_open``."""
