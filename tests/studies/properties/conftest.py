"""Fixtures that instrument this process."""

from integration.conftest import instrument, providers

__all__ = ["instrument", "providers"]
