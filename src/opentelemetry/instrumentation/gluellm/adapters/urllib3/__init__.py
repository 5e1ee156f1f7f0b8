"""Adapter for the pools of urllib3, which botocore and requests use."""

from .adapter import Urllib3Adapter

__all__ = ["Urllib3Adapter"]
