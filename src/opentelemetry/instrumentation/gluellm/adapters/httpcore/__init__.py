"""Pools of httpcore and httpcore2, the ones under httpx and httpx2."""

from .adapter import HttpcoreAdapter

__all__ = ["HttpcoreAdapter"]
