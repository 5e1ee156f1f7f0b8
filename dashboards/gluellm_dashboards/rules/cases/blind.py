"""What is not seen."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final

from opentelemetry.instrumentation.gluellm.telemetry import semconv

from ..case import Case, Firing, Series, other, series
from .waiting import NOTHING

_case = partial(Case, "GlueLLMBlind")


def _hooks(values: str, instance: str = "api-1", library: str = "any_llm", **labels: str) -> Series:
    """Missing hooks of one library, which also show that the instance reports."""
    own = {semconv.HOOK_LIBRARY: library}
    return series(semconv.HOOK_MISSING, values, own, instance=instance, **labels)


def _exports(values: str, instance: str = "api-1", **labels: str) -> list[Series]:
    """An instance, with what every store has of it besides."""
    there = other("target_info", values, instance=instance, **labels)
    return [_hooks(values, instance, **labels), there]


def _blind(kind: str, **labels: str) -> Sequence[Firing]:
    return (Firing(kind, labels),)


_LACKS: Final = _blind("missing_hook", gluellm_hook_library="httpx")
_SILENT: Final = _blind("silent_instance", instance="api-2")
_NOT_JUDGED: Final = _blind("not_judged")
_GONE: Final = _blind("silent_service")


def _judged(values: str, requests: str) -> list[Series]:
    """Judgements of a process, and its requests in flight."""
    return [
        series(semconv.FINDING_JUDGED, values),
        series(semconv.REQUEST_CURRENT, requests, {semconv.REQUEST_PHASE: "queued"}),
    ]


CASES: Final = (
    _case(
        "a process judges itself no more while requests are in flight",
        [_hooks("0x40"), *_judged("0+2x10 20x30", "3x40")],
        {"10m": NOTHING, "19m": NOTHING, "22m": _NOT_JUDGED, "40m": _NOT_JUDGED},
    ),
    _case(
        "a process judges itself every five minutes, since its judgements take long",
        [_hooks("0x40"), *_judged("0x4 1x5 2x5 3x5 4x5 5x5 6x5", "3x40")],
        {f"{minute}m": NOTHING for minute in (10, 15, 20, 25, 30)},
    ),
    _case(
        "a process has just started, and its first judgement takes a while",
        [_hooks("0x20"), *_judged("0x4 1+2x15", "3x20")],
        {"3m": NOTHING, "4m": NOTHING, "12m": NOTHING},
    ),
    _case(
        "an idle process is not judged",
        [_hooks("0x40"), *_judged("0+2x10 20x30", "3x10 0x30")],
        {"22m": NOTHING, "40m": NOTHING},
    ),
    _case(
        "a process without a judge",
        [_hooks("0x40"), _judged("", "3x40")[1]],
        {"22m": NOTHING, "40m": NOTHING},
    ),
    _case(
        "the installed library lacks a hook",
        [_hooks("1x180", library="httpx"), _hooks("0x180"), _hooks("0x180", "api-2", "httpx")],
        {"4m": NOTHING, "6m": _LACKS, "180m": _LACKS},
    ),
    _case(
        "the instance that lacks it ends within the five minutes",
        [_hooks("0x20", library="httpx"), _hooks("_ 1x0 _x18", "api-2", "httpx")],
        {"5m30s": NOTHING, "8m": NOTHING, "20m": NOTHING},
    ),
    _case(
        "an instance exports on, and our metrics are gone",
        [
            *_exports("0x60"),
            _hooks("0x20 _x40", "api-2"),
            other("target_info", "1x60", instance="api-2"),
        ],
        {"25m": NOTHING, "29m": _SILENT},
    ),
    _case(
        "an instance is scraped on, and our metrics are gone",
        [*_exports("0x60"), _hooks("0x20 stale", "api-2"), other("up", "1x60", instance="api-2")],
        {"23m": NOTHING, "27m": _SILENT},
    ),
    _case(
        "an instance can't be scraped any more: that is not our alert",
        [
            *_exports("0x60"),
            _hooks("0x20 stale", "api-2"),
            other("up", "1x20 0x40", instance="api-2"),
        ],
        {"27m": NOTHING, "50m": NOTHING},
    ),
    _case(
        "a scale-down takes two of three",
        [*_exports("0x120"), *_exports("0x20 _x100", "api-2"), *_exports("0x30 _x90", "api-3")],
        {"29m": NOTHING, "45m": NOTHING, "80m": NOTHING, "100m": NOTHING},
    ),
    _case(
        "a rolling deploy takes each instance's place",
        [
            *_exports("0x80 _x60"),
            *_exports("0x82 _x58", "api-2"),
            *_exports("_x79 0x61", "new-1"),
            *_exports("_x81 0x59", "new-2"),
        ],
        {"85m": NOTHING, "90m": NOTHING, "100m": NOTHING, "135m": NOTHING},
    ),
    _case(
        "the only instance is taken down before the next is up",
        [*_exports("0x80 _x60"), *_exports("_x87 0x53", "new-1")],
        {"86m": NOTHING, "95m": NOTHING, "135m": NOTHING},
    ),
    _case(
        "the Collector starts again, and three exports of all are missing",
        [*_exports("0x80 _x3 0x60"), *_exports("0x80 _x3 0x60", "api-2")],
        {"83m": NOTHING, "86m": NOTHING, "100m": NOTHING},
    ),
    _case(
        "the Collector starts again, and does not know at first whose namespace they are in",
        [*_exports("0x80 _x2 0x60", k8s_namespace_name="prod"), *_exports("_x81 0x1 _x60")],
        {"86m": NOTHING, "92m": NOTHING, "120m": NOTHING},
    ),
    _case(
        "two clusters have an instance of one name, and one of them is gone",
        [
            *_exports("0x30 _x70", k8s_cluster_name="east"),
            *_exports("0x100", k8s_cluster_name="west"),
        ],
        {"39m": NOTHING, "60m": NOTHING, "80m": NOTHING},
    ),
    _case(
        "every instance is gone and stays so; it ends by itself",
        [*_exports("0x125 _x90"), *_exports("0x125 _x90", "api-2")],
        {"141m": NOTHING, "143m": _GONE, "175m": _GONE, "205m": NOTHING},
    ),
    _case(
        "a job ends that ran for half an hour",
        _exports("_x10 0x30 _x100"),
        {"60m": NOTHING, "80m": NOTHING, "90m": NOTHING, "105m": NOTHING, "130m": NOTHING},
    ),
)
