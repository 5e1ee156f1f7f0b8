"""Requests that wait for nearly as long as they may."""

from __future__ import annotations

from typing import Final

from opentelemetry.instrumentation.gluellm.telemetry import semconv

from ..case import Case, Series, series
from .waiting import FIRES, NOTHING, answered

_NEAR: Final = "GlueLLMWaitNearTimeout"


def _waits(*per_minute: tuple[str, float]) -> list[Series]:
    """Buckets of the wait that grow by so many a minute, for eleven minutes."""
    return [
        series(semconv.ACQUIRE_DURATION, f"0+{count:g}x10", part="_bucket", le=bound)
        for bound, count in per_minute
    ]


def _timeout(values: str = "10x10") -> Series:
    return series(semconv.ACQUIRE_TIMEOUT, values)


# 100 requests a minute, of which 5 wait for 5 to 10 s.
_LATE: Final = _waits(("0", 90), ("2.5", 95), ("5", 95), ("10", 100), ("+Inf", 100))

CASES: Final = (
    Case(
        _NEAR,
        "5 of 100 wait for 5 to 10 s, and the pool timeout is 10 s",
        [*_LATE, _timeout(), answered("0+100x10")],
        {"2m": NOTHING, "9m": FIRES},
    ),
    Case(
        _NEAR,
        "the same from a native histogram",
        [
            series(
                semconv.ACQUIRE_DURATION,
                # Of schema 0, bucket 3 is (4, 8] and bucket 4 (8, 16].
                "{{schema:0 count:0 sum:0 buckets:[0 0] offset:3}}"
                "+{{schema:0 count:100 sum:900 buckets:[50 50] offset:3}}x10",
            ),
            _timeout(),
            answered("0+100x10"),
        ],
        {"9m": FIRES},
    ),
    Case(
        _NEAR,
        "the same where several providers share the pool, whose timeout then has none",
        [
            *_LATE,
            series(semconv.ACQUIRE_TIMEOUT, "0x10"),
            series(semconv.ACQUIRE_TIMEOUT, "10x10", {semconv.PROVIDER_NAME: ""}),
            answered("0+100x10"),
        ],
        {"9m": FIRES},
    ),
    Case(
        _NEAR,
        "the same waits under a pool timeout of 60 s",
        [*_LATE, _timeout("60x10"), answered("0+100x10")],
        {"9m": NOTHING},
    ),
    Case(
        _NEAR,
        "an instance with a shorter pool timeout ended some minutes ago",
        [
            *_waits(("0", 90), ("2.5", 90), ("5", 100), ("+Inf", 100)),
            _timeout(),
            series(semconv.ACQUIRE_TIMEOUT, "1x4 _x10", instance="api-2"),
            answered("0+100x10"),
        ],
        {"5m": FIRES, "8m45s": NOTHING},
    ),
    Case(
        _NEAR,
        "a pool timeout of 0 is no wait that one could be near",
        [
            *_waits(("0", 90), ("0.005", 100), ("+Inf", 100)),
            _timeout("0x10"),
            answered("0+100x10"),
        ],
        {"5m": NOTHING, "9m": NOTHING},
    ),
    Case(_NEAR, "there is no pool timeout", [*_LATE, answered("0+100x10")], {"9m": NOTHING}),
    Case(
        _NEAR,
        "there is no traffic, so that the quantile is no number",
        [*_waits(("0", 0), ("10", 0), ("+Inf", 0)), _timeout(), answered("100x10")],
        {"9m": NOTHING},
    ),
    Case(
        _NEAR,
        "5 requests a minute have no p99",
        [*_waits(("0", 4), ("5", 4), ("10", 5), ("+Inf", 5)), _timeout(), answered("0+5x10")],
        {"9m": NOTHING},
    ),
    Case(
        _NEAR,
        "nearly all get their connection at once",
        [
            *_waits(("0", 998), ("5", 998), ("10", 1000), ("+Inf", 1000)),
            _timeout(),
            answered("0+1000x10"),
        ],
        {"9m": NOTHING},
    ),
)
