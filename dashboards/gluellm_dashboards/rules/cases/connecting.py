"""Connections that can't be established, or are not there any more; limits, and clients."""

from __future__ import annotations

from typing import Final

from gluellm_pools.prometheus import label_name
from opentelemetry.instrumentation.gluellm.telemetry import semconv

from ..case import Case, Firing, Series, series
from .waiting import FIRES, NOTHING, answered, failed, what_is_new

_CONNECT: Final = "GlueLLMConnectFailures"
_REUSE: Final = "GlueLLMReuseFailures"
_LIMIT: Final = "GlueLLMLimitDiffers"
_CHURN: Final = "GlueLLMClientChurn"


def _reuse(values: str) -> Series:
    return series(semconv.REUSE_FAILURES, values)


def _limits(instance: str, limit: str, live: str, library: str = "httpx") -> list[Series]:
    own = {semconv.POOL_LIBRARY: library}
    return [
        *([series(semconv.CONNECTION_MAX, limit, own, instance=instance)] if limit else []),
        series(semconv.POOL_LIVE, live, own, instance=instance),
    ]


def _opened(values: str, instance: str = "api-1") -> Series:
    return series(semconv.POOL_OPENED, values, instance=instance)


def _shared(opened: str, *answers: tuple[str, str]) -> list[Series]:
    """Pools that several providers share, so that they have none, and requests by provider."""
    found = [series(semconv.POOL_OPENED, opened, {semconv.PROVIDER_NAME: ""})]
    for provider, values in answers:
        own = {semconv.STATUS_CODE: "200", semconv.PROVIDER_NAME: provider}
        found.append(series(semconv.REQUESTS, values, own))
    return found


_DIFFERS: Final = (Firing(labels={"gluellm_pool_library": "httpx"}),)

CASES: Final = (
    Case(
        _CONNECT,
        "a tenth is refused",
        [failed("connection_error", "0x5 0+6x10"), answered("0+54x15")],
        {"5m": NOTHING, "11m": FIRES},
    ),
    Case(
        _CONNECT,
        "a name that can't be resolved, from the first export of a deploy on",
        [failed("name_resolution_error", "_ 12x10")],
        {"1m45s": NOTHING, "2m15s": FIRES},
    ),
    Case(
        _CONNECT,
        "4 of 100",
        [failed("connect_timeout", "0+4x20"), answered("0+96x20")],
        {"20m": NOTHING},
    ),
    Case(
        _CONNECT,
        "2 of a few",
        [failed("secure_connection_error", "0x5 1 2x20"), answered("0+1x25")],
        {"8m": NOTHING, "20m": NOTHING},
    ),
    Case(
        _CONNECT,
        "a burst of 429, after which everything is answered in the end",
        [answered("0x5 0+200x5 1000x20", "429"), answered("0+100x30")],
        {"8m": NOTHING, "12m": NOTHING},
    ),
    Case(
        _CONNECT,
        "nothing is stored for 20 minutes, and then the counters are as they were",
        [failed("connection_error", "90x30 _x20 90x10"), answered("90+6x30 _x20 400+6x10")],
        {"54m": NOTHING, "58m": NOTHING},
    ),
    Case(
        _CONNECT,
        "a killed process rings no longer than the window",
        [failed("connection_error", "0+9x8 _x20")],
        {"8m": FIRES, "14m": NOTHING},
    ),
    what_is_new(_CONNECT, semconv.REQUESTS, {semconv.ERROR_TYPE: "connection_error"}),
    Case(
        _REUSE,
        "2 of 62 a minute",
        [_reuse("0x5 0+2x10"), answered("0+60x15")],
        {"5m": NOTHING, "9m": FIRES},
    ),
    Case(
        _REUSE,
        "the first export of a deploy has 6",
        [_reuse("_ 6x10"), answered("_ 60x10")],
        {"1m45s": NOTHING, "2m15s": FIRES},
    ),
    Case(_REUSE, "1 of 200", [_reuse("0+1x20"), answered("0+200x20")], {"20m": NOTHING}),
    Case(_REUSE, "one, of a few", [_reuse("0x5 1x20"), answered("0+4x25")], {"8m": NOTHING}),
    Case(
        _REUSE,
        "nothing is stored for 20 minutes, and then the counter is as it was",
        [_reuse("90x30 _x20 90x10"), answered("90+6x30 _x20 400+6x10")],
        {"54m": NOTHING, "58m": NOTHING},
    ),
    what_is_new(_REUSE, semconv.REUSE_FAILURES),
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
    Case(
        _CHURN,
        "a client for each of 20 requests a minute",
        [_opened("0x5 0+20x10"), answered("0x5 0+20x10")],
        {"5m": NOTHING, "10m": FIRES},
    ),
    Case(
        _CHURN,
        "the first export of a deploy has 30 clients and 30 requests",
        [_opened("_ 30x10"), answered("_ 30x10")],
        {"2m45s": NOTHING, "3m15s": FIRES},
    ),
    Case(
        _CHURN,
        "20 instances start, with a client each that has not done much",
        [
            one
            for number in range(20)
            for one in (
                _opened("_ 1x20", f"api-{number}"),
                answered("_ 1x20", "200", f"api-{number}"),
            )
        ],
        {"4m": NOTHING, "10m": NOTHING},
    ),
    Case(
        _CHURN,
        "a client for each of 10 tenants, which all serve",
        [_opened("_ 10x20"), answered("_ 30+30x20")],
        {"5m": NOTHING, "10m": NOTHING},
    ),
    Case(
        _CHURN,
        "what a deploy opens is not counted twice: 6 are fewer than 10",
        [_opened("2 6x10"), answered("2 6x10")],
        {"5m": NOTHING},
    ),
    Case(
        _CHURN,
        "nothing is stored for 20 minutes, and before that clients came and went",
        [_opened("90x40 _x20 90x20"), answered("90x40 _x20 90x20")],
        {"65m": NOTHING},
    ),
    Case(
        _CHURN,
        "a client for every three requests, of providers that share the clients",
        _shared("0+20x20", ("openai", "0+30x20"), ("groq", "0+30x20")),
        {"10m": NOTHING},
    ),
    Case(
        _CHURN,
        "a client for every request, of providers that share the clients",
        _shared("0+60x20", ("openai", "0+30x20"), ("groq", "0+30x20")),
        {"10m": (Firing(labels={label_name(semconv.PROVIDER_NAME): ""}),)},
    ),
    what_is_new(_CHURN, semconv.POOL_OPENED),
    Case(_CHURN, "one client for all", [_opened("1x20"), answered("0+60x20")], {"10m": NOTHING}),
    Case(_CHURN, "nothing at all", [_opened("1x20"), answered("60x20")], {"10m": NOTHING}),
)
