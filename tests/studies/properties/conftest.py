"""The instrumentation in this process."""

from integration.conftest import instrument, providers

__all__ = ["instrument", "providers"]
