"""Limits that differ between instances."""

from __future__ import annotations

from functools import partial
from typing import Final

from opentelemetry.instrumentation.gluellm.telemetry import semconv

from ..case import Case, Firing, Series, series
from .waiting import NOTHING

_case = partial(Case, "GlueLLMLimitDiffers")


def _limits(*instances: tuple[str, str], library: str = "httpx") -> list[Series]:
    """Limits, if there are any, and numbers of the pools of each instance."""
    own = {semconv.POOL_LIBRARY: library}
    return [
        series(metric, values, own, instance=f"api-{library}-{number}")
        for number, given in enumerate(instances)
        for metric, values in zip((semconv.CONNECTION_MAX, semconv.POOL_LIVE), given, strict=True)
        if values
    ]


_DIFFERS: Final = (Firing(labels={"gluellm_pool_library": "httpx"}),)

CASES: Final = (
    _case(
        "one of three instances has another limit, for longer than a deploy takes, and for hours",
        _limits(("50x180", "1x180"), ("50x180", "1x180"), ("10x180", "1x180")),
        {"14m": NOTHING, "16m": _DIFFERS, "180m": _DIFFERS},
    ),
    _case("one instance has none", _limits(("50x40", "1x40"), ("", "1x40")), {"16m": _DIFFERS}),
    _case(
        "a deploy changes it from instance to instance, within ten minutes",
        _limits(
            ("50x10 _x30", "1x10 _x30"),
            ("50x14 _x26", "1x14 _x26"),
            ("_x7 80x33", "_x7 1x33"),
            ("_x12 80x28", "_x12 1x28"),
        ),
        {"16m": NOTHING, "30m": NOTHING},
    ),
    _case(
        "an instance with two pools has twice as much in all",
        _limits(("100x40", "2x40"), ("50x40", "1x40")),
        {"30m": NOTHING},
    ),
    _case(
        "an instance whose last pool is gone has none to compare",
        _limits(("50x40", "1x40"), ("0x40", "0x40")),
        {"30m": NOTHING},
    ),
    _case(
        "two libraries have a limit each",
        [*_limits(("50x40", "1x40")), *_limits(("1000x40", "1x40"), library="httpx2")],
        {"30m": NOTHING},
    ),
    _case("nobody has one", _limits(("", "1x40"), ("", "1x40")), {"30m": NOTHING}),
    _case(
        "the instance with another limit is killed",
        _limits(("50x60", "1x60"), ("9x20 _x40", "1x20 _x40")),
        {"19m": _DIFFERS, "24m": NOTHING},
    ),
)
