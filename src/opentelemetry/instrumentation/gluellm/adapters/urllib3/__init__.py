"""Adapter for the pools of urllib3, which botocore and requests use."""
