"""Metrics that no board shows, and why."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

NOT_SHOWN: Final[Mapping[str, str]] = {}
"""By the contract's names. What is in neither place fails a test."""
