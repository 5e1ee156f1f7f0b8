"""What holds connections, streams and event loops."""

from __future__ import annotations

from typing import Final

from opentelemetry.instrumentation.gluellm.telemetry import semconv

from ..case import Case, Firing, Series, series
from .waiting import FIRES, NOTHING, what_is_new

_LEAK: Final = "GlueLLMConnectionLeakSuspected"
_STREAMS: Final = "GlueLLMHttp2StreamsOrphaned"
_LOOP: Final = "GlueLLMEventLoopBlocked"
_ANOMALY: Final = "GlueLLMPoolAnomaly"


def _leaked(values: str, limit: str = "", ever: str = "") -> list[Series]:
    return [
        series(semconv.LEAK_SUSPECTED, values),
        *([series(semconv.CONNECTION_MAX, limit)] if limit else []),
        series(semconv.LEAKS, ever or values),
    ]


def _streams(orphaned: str, limit: str = "") -> list[Series]:
    own = {semconv.PROTOCOL_VERSION: "2"}
    return [
        series(semconv.STREAM_ORPHANED, orphaned, own),
        *([series(semconv.STREAM_MAX, limit, own)] if limit else []),
    ]


def _late(values: str, instance: str = "api-1") -> Series:
    return series(semconv.EVENT_LOOP_LATE_TIME, values, instance=instance)


def _anomalies(values: str) -> Series:
    return series(semconv.ANOMALIES, values, {semconv.ANOMALY_TYPE: "orphaned_connection"})


_ORPHAN: Final = (Firing(labels={"gluellm_anomaly_type": "orphaned_connection"}),)

CASES: Final = (
    Case(
        _LEAK, "one of 10 is a tenth", _leaked("0x3 1x10", "10x13"), {"4m": NOTHING, "6m15s": FIRES}
    ),
    Case(
        _LEAK,
        "one of 1 000 is nobody's emergency",
        _leaked("0x3 1x90", "1000x93"),
        {"10m": NOTHING, "30m": NOTHING, "90m": NOTHING},
    ),
    Case(_LEAK, "one of 100", _leaked("1x30", "100x30"), {"20m": NOTHING}),
    Case(
        _LEAK,
        "one more each minute in a pool of 1 000",
        _leaked("0x3 0+1x30", "1000x33"),
        {"6m": NOTHING, "12m": FIRES, "30m": FIRES},
    ),
    Case(
        _LEAK,
        "five of 1 000 that have been there for long",
        _leaked("5x120", "1000x120", "50x120"),
        {"100m": NOTHING},
    ),
    Case(
        _LEAK, "five where there is no limit", _leaked("0x3 5x60"), {"6m15s": FIRES, "60m": FIRES}
    ),
    Case(_LEAK, "four where there is no limit", _leaked("4x60", "", "90x60"), {"60m": NOTHING}),
    Case(
        _LEAK,
        "six of 1 000, of which one is new",
        _leaked("5x60 6x30", "1000x90", "50x60 51x30"),
        {"65m": NOTHING, "80m": NOTHING},
    ),
    Case(
        _LEAK,
        "two of 1 000, while many were given back",
        _leaked("2x60", "1000x60", "9+1x60"),
        {"50m": NOTHING},
    ),
    Case(
        _LEAK,
        "the first export of a deploy has six in a pool of 1 000",
        _leaked("_ 6x10", "1000x11"),
        {"2m45s": NOTHING, "3m15s": FIRES},
    ),
    Case(
        _LEAK,
        "nothing is stored for 40 minutes, and then five are still there",
        _leaked("5x60 _x40 5x30", "1000x60 _x40 1000x30", "50x60 _x40 50x30"),
        {"105m": NOTHING, "110m": NOTHING},
    ),
    Case(
        _LEAK,
        "connections that are given back after all",
        _leaked("0x3 2 0x10", "10x15", "0x3 2x11"),
        {"6m15s": NOTHING, "10m": NOTHING},
    ),
    Case(
        _LEAK,
        "a process is killed that leaked: its last state rings for 3 minutes",
        _leaked("5x10 _x20", "10x10 _x20"),
        {"10m": FIRES, "13m": NOTHING, "20m": NOTHING},
    ),
    Case(
        _LEAK,
        "the last pool of a name is gone, and its limit is 0",
        _leaked("0x10", "0x10"),
        {"10m": NOTHING},
    ),
    what_is_new(
        _LEAK,
        semconv.LEAKS,
        None,
        *(
            series(metric, f"{value}x139", instance=instance)
            for metric, value in ((semconv.LEAK_SUSPECTED, 5), (semconv.CONNECTION_MAX, 1000))
            for instance in ("api-1", "api-2")
        ),
    ),
    Case(
        _STREAMS,
        "a tenth of the limit",
        _streams("0x3 10x10", "100x13"),
        {"4m": NOTHING, "6m15s": FIRES},
    ),
    Case(_STREAMS, "all three that there may be", _streams("3x10", "3x10"), {"5m": FIRES}),
    Case(_STREAMS, "a few of many", _streams("9x10", "100x10"), {"10m": NOTHING}),
    Case(_STREAMS, "a few where the limit is not known", _streams("5x10", "0x10"), {"5m": FIRES}),
    Case(_STREAMS, "one where the limit is not known", _streams("1x10", "0x10"), {"10m": NOTHING}),
    Case(_STREAMS, "none, with no limit either", _streams("0x10", "0x10"), {"10m": NOTHING}),
    Case(
        _STREAMS,
        "streams that the other side ends a little later",
        _streams("0x3 20 0x10", "100x15"),
        {"6m15s": NOTHING, "10m": NOTHING},
    ),
    Case(
        _STREAMS,
        "a killed process",
        _streams("50x10 _x20", "100x10 _x20"),
        {"10m": FIRES, "13m": NOTHING},
    ),
    Case(
        _LOOP,
        "a pause of 0.3 s in each second",
        [_late("0x3 15+15x10")],
        {"4m": NOTHING, "10m": FIRES},
    ),
    Case(
        _LOOP,
        "blocked for nearly all of the time",
        [_late("0x5 50+50x10")],
        {"7m45s": NOTHING, "8m30s": FIRES},
    ),
    Case(
        _LOOP,
        "blocked until a deploy",
        [_late("0+30x10 300x20")],
        {"10m": FIRES, "16m": NOTHING},
    ),
    Case(
        _LOOP,
        "a healthy service that pauses for 0.4 s once a minute",
        [_late("0.4+0.4x60")],
        {"5m": NOTHING, "30m": NOTHING, "60m": NOTHING},
    ),
    Case(
        _LOOP,
        "one long block",
        [_late("0x3 45x20")],
        {"4m": NOTHING, "6m": NOTHING, "10m": NOTHING},
    ),
    Case(_LOOP, "a loop that is late for 19 %", [_late("0+11.4x20")], {"20m": NOTHING}),
    Case(
        _LOOP,
        "of two instances one",
        [_late("0.1+0.1x10"), _late("20+20x10", "api-2")],
        {"9m": (Firing(labels={"instance": "api-2"}),)},
    ),
    Case(
        _LOOP,
        "a worker that is replaced once a minute, and is late for a second as it starts",
        [_late("1x20")],
        {"10m": NOTHING, "20m": NOTHING},
    ),
    Case(
        _LOOP,
        "a process whose loop was blocked is killed",
        [_late("0+30x10 _x20")],
        {"10m": FIRES, "16m": NOTHING},
    ),
    Case(
        _ANOMALY,
        "one is enough",
        [_anomalies("0x5 1x30")],
        {"5m": NOTHING, "8m": _ORPHAN, "25m": NOTHING},
    ),
    Case(
        _ANOMALY,
        "one in the first export of a deploy",
        [_anomalies("_x2 1x30")],
        {"2m45s": NOTHING, "3m30s": _ORPHAN},
    ),
    what_is_new(
        _ANOMALY, semconv.ANOMALIES, {semconv.ANOMALY_TYPE: "orphaned_connection"}, fires=_ORPHAN
    ),
    Case(_ANOMALY, "none", [_anomalies("0x30")], {"30m": NOTHING}),
    Case(_ANOMALY, "some, long ago", [_anomalies("3x120")], {"100m": NOTHING}),
    Case(
        _ANOMALY,
        "some, long ago, and then nothing is stored for 20 minutes",
        [_anomalies("3x60 _x20 3x20")],
        {"84m": NOTHING, "90m": NOTHING},
    ),
)
