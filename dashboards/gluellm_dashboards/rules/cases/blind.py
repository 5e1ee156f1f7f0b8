"""What is not seen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from opentelemetry.instrumentation.gluellm.telemetry import semconv

from ..case import Case, Firing, Series, other, series
from .waiting import NOTHING, answered

_BLIND: Final = "GlueLLMBlind"


def _seam(values: str, instance: str = "api-1", hook: str = "read", **labels: str) -> Series:
    own = {semconv.POOL_LIBRARY: "httpx", semconv.HOOK_NAME: hook}
    return series(semconv.HOOK_MISSING, values, own, instance=instance, **labels)


def _reports(values: str, instance: str = "api-1", **labels: str) -> Series:
    """The one series that stands for all of an instance."""
    return _seam(values, instance, "pool_owner", **labels)


def _exports(values: str, instance: str = "api-1", **labels: str) -> list[Series]:
    """An instance, with what every store has of it besides."""
    there = other("target_info", values, instance=instance, **labels)
    return [_reports(values, instance, **labels), there]


def _blind(kind: str, **labels: str) -> Sequence[Firing]:
    return (Firing(kind, labels),)


_READ: Final = _blind("missing_seam", gluellm_seam="read", gluellm_pool_library="httpx")
_SILENT: Final = _blind("silent_instance", instance="api-2")
_GONE: Final = _blind("silent_service")

CASES: Final = (
    Case(
        _BLIND,
        "the installed library lacks a seam",
        [_seam("0x20"), _seam("1x20", hook="state")],
        {"4m": NOTHING, "6m": _READ},
    ),
    Case(
        _BLIND,
        "one instance of two lacks it",
        [_seam("1x20"), _seam("0x20", "api-2")],
        {"6m": _READ},
    ),
    Case(
        _BLIND,
        "the instance that lacks it ends within the five minutes",
        [_seam("1x20"), _seam("_ 0x0 _x18", "api-2")],
        {"5m30s": NOTHING, "8m": NOTHING, "20m": NOTHING},
    ),
    Case(_BLIND, "all is seen", [_seam("1x90"), _seam("1x90", hook="state")], {"90m": NOTHING}),
    Case(
        _BLIND,
        "an instance exports on, and our metrics are gone",
        [
            *_exports("1x60"),
            _reports("1x20 _x40", "api-2"),
            other("target_info", "1x60", instance="api-2"),
        ],
        {"25m": NOTHING, "29m": _SILENT},
    ),
    Case(
        _BLIND,
        "an instance is scraped on, and our metrics are gone",
        [*_exports("1x60"), _reports("1x20 stale", "api-2"), other("up", "1x60", instance="api-2")],
        {"23m": NOTHING, "27m": _SILENT},
    ),
    Case(
        _BLIND,
        "an instance can't be scraped any more: that is not our alert",
        [
            *_exports("1x60"),
            _reports("1x20 stale", "api-2"),
            other("up", "1x20 0x40", instance="api-2"),
        ],
        {"27m": NOTHING, "50m": NOTHING},
    ),
    Case(
        _BLIND,
        "a scale-down takes two of three",
        [*_exports("1x120"), *_exports("1x20 _x100", "api-2"), *_exports("1x30 _x90", "api-3")],
        {"29m": NOTHING, "45m": NOTHING, "80m": NOTHING, "100m": NOTHING},
    ),
    Case(
        _BLIND,
        "a rolling deploy takes each instance's place",
        [
            *_exports("1x80 _x60"),
            *_exports("1x82 _x58", "api-2"),
            *_exports("_x79 1x61", "new-1"),
            *_exports("_x81 1x59", "new-2"),
        ],
        {"85m": NOTHING, "90m": NOTHING, "100m": NOTHING, "135m": NOTHING},
    ),
    Case(
        _BLIND,
        "the only instance is taken down before the next is up",
        [*_exports("1x80 _x60"), *_exports("_x87 1x53", "new-1")],
        {"86m": NOTHING, "95m": NOTHING, "135m": NOTHING},
    ),
    Case(
        _BLIND,
        "the Collector starts again, and three exports of all are missing",
        [*_exports("1x80 _x3 1x60"), *_exports("1x80 _x3 1x60", "api-2")],
        {"83m": NOTHING, "86m": NOTHING, "100m": NOTHING},
    ),
    Case(
        _BLIND,
        "the Collector starts again, and does not know at first whose namespace they are in",
        [
            *_exports("1x80 _x2 1x60", k8s_namespace_name="prod"),
            *_exports("_x81 1x1 _x60"),
        ],
        {"86m": NOTHING, "92m": NOTHING, "120m": NOTHING},
    ),
    Case(
        _BLIND,
        "two clusters have an instance of one name, and one of them is gone",
        [
            *_exports("1x30 _x70", k8s_cluster_name="east"),
            *_exports("1x100", k8s_cluster_name="west"),
        ],
        {"39m": NOTHING, "60m": NOTHING, "80m": NOTHING},
    ),
    Case(
        _BLIND,
        "nothing is stored for 12 minutes",
        [*_exports("1x80 _x12 1x60"), *_exports("1x80 _x12 1x60", "api-2")],
        {"91m": NOTHING, "95m": NOTHING, "100m": NOTHING},
    ),
    Case(
        _BLIND,
        "every instance is gone and stays so; it ends by itself",
        [*_exports("1x125 _x90"), *_exports("1x125 _x90", "api-2")],
        {"141m": NOTHING, "143m": _GONE, "175m": _GONE, "205m": NOTHING},
    ),
    Case(
        _BLIND,
        "a job ends that ran for half an hour",
        _exports("_x10 1x30 _x100"),
        {"60m": NOTHING, "80m": NOTHING, "90m": NOTHING, "105m": NOTHING, "130m": NOTHING},
    ),
    Case(
        _BLIND,
        "two hours without a request",
        [*_exports("1x150"), answered("500x150")],
        {"60m": NOTHING, "120m": NOTHING, "150m": NOTHING},
    ),
)
