"""The boards, as files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from . import fleet, overview, pool, provider
from .board import Board

FOLDERS: Final[tuple[str, ...]] = ("grafana/*.json",)
"""Where nothing but generated files lies; what provisions them lies beside them."""


def boards() -> tuple[Board, ...]:
    """All of them. Raises UnknownNameError."""
    return (overview.board(), pool.board(), provider.board(), fleet.board())


def files() -> Mapping[str, str]:
    """Their texts, by their paths below ``dashboards/``."""
    return {f"grafana/{board.uid}.json": board.text() for board in boards()}
