"""Adapter for the pools of aiohttp, its connectors."""

from .adapter import AiohttpAdapter

__all__ = ["AiohttpAdapter"]
