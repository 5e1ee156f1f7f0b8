"""Limits that differ between instances."""

from __future__ import annotations

from typing import Final

from opentelemetry.instrumentation.gluellm.telemetry import semconv

from ..case import Case, Firing, Series, series
from .waiting import NOTHING

_LIMIT: Final = "GlueLLMLimitDiffers"


def _limits(instance: str, limit: str, live: str, library: str = "httpx") -> list[Series]:
    own = {semconv.POOL_LIBRARY: library}
    return [
        *([series(semconv.CONNECTION_MAX, limit, own, instance=instance)] if limit else []),
        series(semconv.POOL_LIVE, live, own, instance=instance),
    ]


_DIFFERS: Final = (Firing(labels={"gluellm_pool_library": "httpx"}),)

CASES: Final = (
    Case(
        _LIMIT,
        "one of three instances has another limit, for longer than a deploy takes",
        [
            *_limits("api-1", "50x40", "1x40"),
            *_limits("api-2", "50x40", "1x40"),
            *_limits("api-3", "10x40", "1x40"),
        ],
        {"14m": NOTHING, "16m": _DIFFERS},
    ),
    Case(
        _LIMIT,
        "one instance has none",
        [*_limits("api-1", "50x40", "1x40"), *_limits("api-2", "", "1x40")],
        {"16m": _DIFFERS},
    ),
    Case(
        _LIMIT,
        "a deploy changes it from instance to instance, within ten minutes",
        [
            *_limits("api-1", "50x10 _x30", "1x10 _x30"),
            *_limits("api-2", "50x14 _x26", "1x14 _x26"),
            *_limits("api-3", "_x7 80x33", "_x7 1x33"),
            *_limits("api-4", "_x12 80x28", "_x12 1x28"),
        ],
        {"16m": NOTHING, "30m": NOTHING},
    ),
    Case(
        _LIMIT,
        "an instance with two pools has twice as much in all",
        [*_limits("api-1", "100x40", "2x40"), *_limits("api-2", "50x40", "1x40")],
        {"30m": NOTHING},
    ),
    Case(
        _LIMIT,
        "an instance whose last pool is gone has none to compare",
        [*_limits("api-1", "50x40", "1x40"), *_limits("api-2", "0x40", "0x40")],
        {"30m": NOTHING},
    ),
    Case(
        _LIMIT,
        "two libraries have a limit each",
        [*_limits("api-1", "50x40", "1x40"), *_limits("api-2", "1000x40", "1x40", "httpx2")],
        {"30m": NOTHING},
    ),
    Case(
        _LIMIT,
        "nobody has one",
        [*_limits("api-1", "", "1x40"), *_limits("api-2", "", "1x40")],
        {"30m": NOTHING},
    ),
    Case(
        _LIMIT,
        "the instance with another limit is killed",
        [*_limits("api-1", "50x60", "1x60"), *_limits("api-2", "9x20 _x40", "1x20 _x40")],
        {"19m": _DIFFERS, "24m": NOTHING},
    ),
)
