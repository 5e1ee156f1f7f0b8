"""Scenarios that do not apply to grpc, each with the reason."""

from __future__ import annotations

REASONS: dict[str, str] = {
    "test_upgrades.py": "its connections never change their protocol",
}
