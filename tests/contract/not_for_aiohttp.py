"""Scenarios that do not apply to aiohttp, each with the reason."""

from __future__ import annotations

REASONS: dict[str, str] = {
    "test_upgrades.py::test_end_of_a_websocket_that_is_being_read": (
        "its WebSocket tells whoever reads it of its end by a message, and raises nothing"
    ),
}
