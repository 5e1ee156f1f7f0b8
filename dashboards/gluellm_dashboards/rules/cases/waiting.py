"""Requests that wait for a connection."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from opentelemetry.instrumentation.gluellm.telemetry import semconv
from opentelemetry.instrumentation.gluellm.telemetry.semconv import Metric

from ..case import Case, Firing, Series, series

FIRES: Final = (Firing(),)
STUCK: Final = (Firing("connection"),)
STUCK_ON_STREAM: Final = (Firing("stream"),)
NOTHING: Final[tuple[Firing, ...]] = ()

_STUCK: Final = "GlueLLMRequestsStuck"
_TIMEOUTS: Final = "GlueLLMPoolTimeouts"


def oldest(phase: str, values: str) -> Series:
    """The age of the oldest request in a phase."""
    return series(semconv.REQUEST_OLDEST_AGE, values, {semconv.REQUEST_PHASE: phase})


def pool_timeouts(values: str, instance: str = "api-1", **labels: str) -> Series:
    """Requests that gave up waiting."""
    own = {semconv.TIMEOUT_KIND: "pool"}
    return series(semconv.TIMEOUTS, values, own, instance=instance, **labels)


def answered(values: str, status: str = "200", instance: str = "api-1", **labels: str) -> Series:
    """Requests with an answer."""
    own = {semconv.STATUS_CODE: status}
    return series(semconv.REQUESTS, values, own, instance=instance, **labels)


def failed(error: str, values: str, instance: str = "api-1") -> Series:
    """Requests without one."""
    return series(semconv.REQUESTS, values, {semconv.ERROR_TYPE: error}, instance=instance)


def what_is_new(
    alert: str,
    metric: Metric,
    own: Mapping[str, str] | None = None,
    *others: Series,
    fires: tuple[Firing, ...] = FIRES,
) -> Case:
    """Return a case of a counter whose series change after 61, 80 and 120 minutes."""
    return Case(
        alert,
        "a series with one more label is not new; those of another instance or version are",
        [
            series(metric, "90x60 _x79", own),
            series(metric, "_x61 90x78", own, k8s_pod_name="api-1"),
            series(metric, "_x80 30x59", own, instance="api-2"),
            series(metric, "_x120 30x19", own, service_version="2"),
            answered("0+1x139"),
            answered("0+1x139", instance="api-2"),
            *others,
        ],
        {"64m": NOTHING, "83m": fires, "123m": fires},
    )


CASES: Final = (
    Case(
        _STUCK,
        "a request waits on and on, and somebody is paged 75 s after the export that shows it",
        [oldest("queued", "0 10 40+60x10")],
        {"2m45s": NOTHING, "3m15s": STUCK, "12m": STUCK},
    ),
    Case(
        _STUCK,
        "a wait for an HTTP/2 stream is one of its own kind",
        [oldest("stream_queued", "0 0 31+60x4")],
        {"2m45s": NOTHING, "3m15s": STUCK_ON_STREAM},
    ),
    Case(
        _STUCK,
        "the first export of a fresh deploy already shows it",
        [oldest("queued", "45+60x4")],
        {"45s": NOTHING, "1m15s": STUCK},
    ),
    Case(
        _STUCK,
        "a process is killed while its requests are stuck, and its last state rings for 3 minutes",
        [oldest(phase, "0 40 100 160 _x20") for phase in ("queued", "stream_queued")],
        {"4m30s": STUCK + STUCK_ON_STREAM, "6m": NOTHING, "15m": NOTHING},
    ),
    Case(
        _STUCK,
        "a process is killed whose requests waited for a while",
        [oldest("queued", "0 10 29 _x20")],
        {"3m15s": NOTHING, "5m": NOTHING},
    ),
    Case(
        _STUCK,
        "what is scraped no more is over at once",
        [oldest("queued", "0 40 100 stale")],
        {"2m45s": STUCK, "3m15s": NOTHING},
    ),
    Case(
        _STUCK,
        "a model that thinks for ten minutes is no wait",
        [
            oldest("awaiting_response", "0+60x10"),
            oldest("reading", "0+60x10"),
            oldest("unread", "0+60x10"),
            oldest("queued", "0x10"),
        ],
        {"5m": NOTHING, "10m": NOTHING},
    ),
    Case(
        _STUCK,
        "a burst that one export shows is over with the next",
        [oldest("queued", "0 35 0x8")],
        {"2m": NOTHING, "2m15s": NOTHING, "5m": NOTHING},
    ),
    Case(
        _STUCK,
        "waits below the threshold, however many",
        [oldest("queued", "29x10"), oldest("stream_queued", "29x10")],
        {"10m": NOTHING},
    ),
    Case(
        _TIMEOUTS,
        "2 of 62 requests a minute give up",
        [pool_timeouts("0x5 0+2x10"), answered("0+60x15"), failed("pool_timeout", "0x5 0+2x10")],
        {"5m": NOTHING, "10m": FIRES},
    ),
    Case(
        _TIMEOUTS,
        "the first export of a fresh deploy has 20 of 120",
        [pool_timeouts("_ 20x10"), answered("_ 100x10"), failed("pool_timeout", "_ 20x10")],
        {"1m45s": NOTHING, "2m15s": FIRES, "5m45s": FIRES, "7m": NOTHING},
    ),
    Case(
        _TIMEOUTS,
        "of a fresh deploy the first export has none yet, and the second has 6",
        [pool_timeouts("0 6x10"), answered("0+50x10"), failed("pool_timeout", "0 6x10")],
        {"2m15s": FIRES},
    ),
    Case(
        _TIMEOUTS,
        "of two instances one is new and has the trouble",
        [
            pool_timeouts("0x80"),
            answered("0+60x80"),
            pool_timeouts("_x70 30x10", "api-2"),
            failed("pool_timeout", "_x70 30x10", "api-2"),
        ],
        {"69m": NOTHING, "71m15s": FIRES},
    ),
    Case(
        _TIMEOUTS,
        "what a fresh deploy counts is not counted twice: 4 are fewer than 5",
        [pool_timeouts("2 4x10"), answered("10+10x10"), failed("pool_timeout", "2 4x10")],
        {"2m15s": NOTHING, "4m": NOTHING, "6m": NOTHING},
    ),
    Case(
        _TIMEOUTS,
        "a process that is killed rings no longer than the window",
        [
            pool_timeouts("0+5x8 _x20"),
            answered("0+5x8 _x20"),
            failed("pool_timeout", "0+5x8 _x20"),
        ],
        {"8m": FIRES, "14m": NOTHING, "20m": NOTHING},
    ),
    Case(
        _TIMEOUTS,
        "a process starts again under its name, and goes on giving up",
        [
            pool_timeouts("50x10 0 4+4x4"),
            answered("900x10 0 20+20x4"),
            failed("pool_timeout", "50x10 0 4+4x4"),
        ],
        {"10m": NOTHING, "15m": FIRES},
    ),
    Case(
        _TIMEOUTS,
        "1 of 200 is fewer than a hundredth",
        [pool_timeouts("0+2x20"), answered("0+398x20"), failed("pool_timeout", "0+2x20")],
        {"10m": NOTHING, "20m": NOTHING},
    ),
    Case(
        _TIMEOUTS,
        "3 in 5 minutes are too few, though they are all there is",
        [pool_timeouts("0x5 1 2 3x20"), failed("pool_timeout", "0x5 1 2 3x20")],
        {"8m": NOTHING, "10m": NOTHING, "20m": NOTHING},
    ),
    Case(
        _TIMEOUTS,
        "nothing is stored for 20 minutes, and then the counters are as they were",
        [
            pool_timeouts("500x30 _x20 500x20"),
            answered("500+60x30 _x20 3500+60x20"),
            failed("pool_timeout", "500x30 _x20 500x20"),
        ],
        {"51m15s": NOTHING, "53m": NOTHING, "60m": NOTHING},
    ),
    Case(
        _TIMEOUTS,
        "nothing is stored for 20 minutes, and then requests give up: old ones don't hide that",
        [
            pool_timeouts("0x30 _x20 0+2x10"),
            answered("9000x30 _x20 9000+60x10"),
            failed("pool_timeout", "0x30 _x20 0+2x10"),
        ],
        {"51m30s": NOTHING, "55m30s": FIRES},
    ),
    Case(
        _TIMEOUTS,
        "the Collector starts again, and two exports are missing",
        [
            pool_timeouts("500x30 _x2 500x20"),
            answered("500+60x30 _x2 2480+60x20"),
            failed("pool_timeout", "500x30 _x2 500x20"),
        ],
        {"34m15s": NOTHING, "36m": NOTHING},
    ),
    Case(
        _TIMEOUTS,
        "the Collector starts again, and does not know at first whose namespace they are in",
        [
            pool_timeouts("50x30 _x2 50x20", k8s_namespace_name="prod"),
            answered("900x30 _x2 900x20", k8s_namespace_name="prod"),
            pool_timeouts("_x31 50x1 _x20"),
            answered("_x31 900x1 _x20"),
        ],
        {"32m45s": NOTHING, "34m": NOTHING, "36m": NOTHING},
    ),
    Case(
        _TIMEOUTS,
        "a new version starts under its instance's name, and its first export is the incident",
        [
            pool_timeouts("0x30 _x20", service_version="1"),
            answered("900x30 _x20", service_version="1"),
            pool_timeouts("_x31 30x19", service_version="2"),
            answered("_x31 100x19", service_version="2"),
        ],
        {"31m45s": NOTHING, "32m30s": FIRES},
    ),
    Case(
        _TIMEOUTS,
        "a new instance has 5 of 1 000 in its first export",
        [
            answered("0+10x50"),
            pool_timeouts("_x31 5x19", "api-2"),
            answered("_x31 995x19", instance="api-2"),
        ],
        {"33m": NOTHING, "35m": NOTHING, "38m": NOTHING},
    ),
    Case(
        _TIMEOUTS,
        "a new version under its instance's name has 5 of 1 000 in its first export",
        [
            pool_timeouts("0x30 _x20", service_version="1"),
            answered("0x30 _x20", service_version="1"),
            pool_timeouts("_x31 5x19", service_version="2"),
            answered("_x31 995x19", service_version="2"),
        ],
        {"33m": NOTHING, "35m": NOTHING, "38m": NOTHING},
    ),
    Case(
        _TIMEOUTS,
        "series get one more label while requests give up: old ones don't hide that",
        [
            pool_timeouts("0x28 2 4 _x20"),
            answered("9000+60x30 _x20"),
            pool_timeouts("_x31 6+2x20", k8s_pod_name="api-1"),
            answered("_x31 10860+60x20", k8s_pod_name="api-1"),
        ],
        {"30m": NOTHING, "34m45s": FIRES},
    ),
    Case(
        _TIMEOUTS,
        "another kind of timeout is no wait for a connection",
        [
            series(semconv.TIMEOUTS, "0+20x10", {semconv.TIMEOUT_KIND: "read"}),
            failed("read_timeout", "0+20x10"),
        ],
        {"10m": NOTHING},
    ),
)
