"""Pools that come and go by the hundred thousand: ``python -m studies.load.churn``."""
