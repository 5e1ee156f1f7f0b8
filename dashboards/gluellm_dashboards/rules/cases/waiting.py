"""Requests that wait for a connection."""

from __future__ import annotations

from functools import partial
from typing import Final

from opentelemetry.instrumentation.gluellm.telemetry import semconv

from ..case import Case, Firing, Series, series

FIRES: Final = (Firing(),)
NOTHING: Final[tuple[Firing, ...]] = ()
_STUCK: Final = (Firing("connection"),)
_STUCK_ON_STREAM: Final = (Firing("stream"),)


def oldest(**phases: str) -> list[Series]:
    """The age of the oldest request in each phase."""
    return [
        series(semconv.REQUEST_OLDEST_AGE, values, {semconv.REQUEST_PHASE: phase})
        for phase, values in phases.items()
    ]


def answered(values: str, instance: str = "api-1", **labels: str) -> Series:
    """Requests with an answer."""
    own = {semconv.STATUS_CODE: "200"}
    return series(semconv.REQUESTS, values, own, instance=instance, **labels)


def gave_up(
    values: str, answers: str = "", *, kind: str = "pool", instance: str = "api-1", **labels: str
) -> list[Series]:
    """Requests that ended in a timeout, beside those with an answer."""
    timeout, error = {semconv.TIMEOUT_KIND: kind}, {semconv.ERROR_TYPE: f"{kind}_timeout"}
    return [
        series(semconv.TIMEOUTS, values, timeout, instance=instance, **labels),
        series(semconv.REQUESTS, values, error, instance=instance, **labels),
        *([answered(answers, instance, **labels)] if answers else ()),
    ]


_stuck = partial(Case, "GlueLLMRequestsStuck")
_timeouts = partial(Case, "GlueLLMPoolTimeouts")
# The cases of GlueLLMPoolTimeouts are those of all counters as well: of series that are new, are
# gone for a while, or get another label.
CASES: Final = (
    _stuck(
        "a request waits on and on, and somebody is paged 75 s after the export that shows it",
        oldest(queued="0 10 40+60x200"),
        {"2m45s": NOTHING, "3m15s": _STUCK, "12m": _STUCK, "200m": _STUCK},
    ),
    _stuck(
        "a wait for an HTTP/2 stream is one of its own kind",
        oldest(stream_queued="0 0 31+60x4"),
        {"2m45s": NOTHING, "3m15s": _STUCK_ON_STREAM},
    ),
    _stuck(
        "the first export of a fresh deploy already shows it",
        oldest(queued="45+60x4"),
        {"45s": NOTHING, "1m15s": _STUCK},
    ),
    _stuck(
        "a process is killed while its requests are stuck, and its last state rings for 3 minutes",
        oldest(queued="0 40 100 160 _x20", stream_queued="0 40 100 160 _x20"),
        {"4m30s": _STUCK + _STUCK_ON_STREAM, "6m": NOTHING, "15m": NOTHING},
    ),
    _stuck(
        "what is scraped no more is over at once",
        oldest(queued="0 40 100 stale"),
        {"2m45s": _STUCK, "3m15s": NOTHING},
    ),
    _stuck(
        "a model that thinks for ten minutes is no wait",
        oldest(awaiting_response="0+60x10", reading="0+60x10", unread="0+60x10", queued="0x10"),
        {"5m": NOTHING, "10m": NOTHING},
    ),
    _stuck(
        "a burst that one export shows is over with the next",
        oldest(queued="0 35 0x8"),
        {"2m": NOTHING, "2m15s": NOTHING, "5m": NOTHING},
    ),
    _stuck(
        "waits below the threshold, however many",
        oldest(queued="29x10", stream_queued="29x10"),
        {"10m": NOTHING},
    ),
    _timeouts(
        "2 of 62 requests a minute give up, for hours",
        gave_up("0x5 0+2x175", "0+60x180"),
        {"5m": NOTHING, "10m": FIRES, "180m": FIRES},
    ),
    _timeouts(
        "the first export of a fresh deploy has 20 of 120",
        gave_up("_ 20x10", "_ 100x10"),
        {"1m45s": NOTHING, "2m15s": FIRES, "5m45s": FIRES, "7m": NOTHING},
    ),
    _timeouts(
        "of two instances one is new and has the trouble",
        [*gave_up("0x80", "0+60x80"), *gave_up("_x70 30x10", instance="api-2")],
        {"69m": NOTHING, "71m15s": FIRES},
    ),
    _timeouts(
        "what a fresh deploy counts is not counted twice: 4 are fewer than 5",
        gave_up("2 4x10", "10+10x10"),
        {"2m15s": NOTHING, "4m": NOTHING, "6m": NOTHING},
    ),
    _timeouts(
        "a process that is killed rings no longer than the window",
        gave_up("0+5x8 _x20", "0+5x8 _x20"),
        {"8m": FIRES, "14m": NOTHING, "20m": NOTHING},
    ),
    _timeouts(
        "a process starts again under its name, and goes on giving up",
        gave_up("50x10 0 4+4x4", "900x10 0 20+20x4"),
        {"10m": NOTHING, "15m": FIRES},
    ),
    _timeouts(
        "a crash loop: each process gives up three requests, exports once and is gone",
        [one for run in range(8) for one in gave_up(f"_x{2 * run} 3 _x40", instance=f"{run}")],
        {"1m": NOTHING, "10m": FIRES, "31m": NOTHING},
    ),
    _timeouts(
        "one instance per worker, each of which gives up one request",
        [one for run in range(8) for one in gave_up("0x10 1x20", "0+1x30", instance=f"{run}")],
        {"10m": NOTHING, "13m": FIRES},
    ),
    _timeouts(
        "1 of 200 is fewer than a hundredth",
        gave_up("0+2x20", "0+398x20"),
        {"10m": NOTHING, "20m": NOTHING},
    ),
    _timeouts(
        "3 in 5 minutes are too few, though they are all there is",
        gave_up("0x5 1 2 3x20"),
        {"8m": NOTHING, "10m": NOTHING, "20m": NOTHING},
    ),
    _timeouts(
        "nothing is stored for 20 minutes, and then the counters are as they were",
        gave_up("500x30 _x20 500x20", "500+60x30 _x20 3500+60x20"),
        {"51m15s": NOTHING, "53m": NOTHING, "60m": NOTHING},
    ),
    _timeouts(
        "nothing is stored for 20 minutes, and then requests give up: old ones don't hide that",
        gave_up("0x30 _x20 0+2x10", "9000x30 _x20 9000+60x10"),
        {"51m30s": NOTHING, "55m30s": FIRES},
    ),
    _timeouts(
        "the Collector starts again, and does not know at first whose namespace they are in",
        [
            *gave_up("50x30 _x2 50x20", "900x30 _x2 900x20", k8s_namespace_name="prod"),
            *gave_up("_x31 50x1 _x20", "_x31 900x1 _x20"),
        ],
        {"32m45s": NOTHING, "34m": NOTHING, "36m": NOTHING},
    ),
    _timeouts(
        "a new version starts under its instance's name, and its first export is the incident",
        [
            *gave_up("0x30 _x20", "900x30 _x20", service_version="1"),
            *gave_up("_x31 30x19", "_x31 100x19", service_version="2"),
        ],
        {"31m45s": NOTHING, "32m30s": FIRES},
    ),
    _timeouts(
        "series get one more label while requests give up: old ones don't hide that",
        [
            *gave_up("0x28 2 4 _x20", "9000+60x30 _x20"),
            *gave_up("_x31 6+2x20", "_x31 10860+60x20", k8s_pod_name="api-1"),
        ],
        {"30m": NOTHING, "34m45s": FIRES},
    ),
    _timeouts(
        "another kind of timeout is no wait for a connection",
        gave_up("0+20x10", kind="read"),
        {"10m": NOTHING},
    ),
)
