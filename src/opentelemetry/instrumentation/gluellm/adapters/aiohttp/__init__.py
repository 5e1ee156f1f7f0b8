"""Adapter for the pools of aiohttp, its connectors."""
