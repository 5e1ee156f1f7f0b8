"""Scenarios that do not apply to urllib3, each with the reason."""

from __future__ import annotations

REASONS: dict[str, str] = {
    "test_upgrades.py": "it hands no connection over that has switched to another protocol",
}
