"""Pools of urllib3, the ones under botocore and requests."""

from .adapter import Urllib3Adapter

__all__ = ["Urllib3Adapter"]
