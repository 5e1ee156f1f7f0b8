"""The boards, as files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from . import fleet, overview, pool, provider
from .board import Board

FOLDERS: Final[tuple[str, ...]] = ("grafana/*.json",)
"""Paths that contain generated files only. Their provisioning is stored beside them."""


def boards() -> tuple[Board, ...]:
    """Return all boards. Raises UnknownNameError."""
    return (overview.board(), pool.board(), provider.board(), fleet.board())


def files() -> Mapping[str, str]:
    """Return the text of each board, by its path below ``dashboards/``."""
    return {f"grafana/{board.uid}.json": board.text() for board in boards()}
