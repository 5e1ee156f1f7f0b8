"""Adapter for the pools of httpcore and httpcore2, which httpx and httpx2 use."""

from .adapter import HttpcoreAdapter

__all__ = ["HttpcoreAdapter"]
