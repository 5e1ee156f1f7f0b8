"""Adapter for the pools of httpcore and httpcore2, which httpx and httpx2 use."""
