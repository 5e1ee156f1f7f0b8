"""Metrics that no board shows, and why."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

NOT_SHOWN: Final[Mapping[str, str]] = {}
"""Reasons by metric name. A metric that is neither here nor on a board fails a test."""
