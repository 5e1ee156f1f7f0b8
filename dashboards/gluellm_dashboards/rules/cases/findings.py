"""What processes find: one alert for a service, a provider and a kind, whatever the number."""

from __future__ import annotations

from functools import partial
from typing import Final

from opentelemetry.instrumentation.gluellm.telemetry import semconv

from ..case import Case, Firing, Series, series
from .waiting import NOTHING


def found(
    values: str,
    kind: str = "leak",
    severity: str = "error",
    instance: str = "api-1",
    pool: str = "openai",
) -> Series:
    """A finding of a process."""
    own = {
        semconv.FINDING_KIND: kind,
        semconv.FINDING_SEVERITY: severity,
        semconv.POOL_NAME: pool,
        semconv.CALL_SOURCE: "",
    }
    return series(semconv.FINDING_CURRENT, values, own, instance=instance)


def _fires(kind: str = "leak") -> tuple[Firing, ...]:
    return (Firing(labels={"gluellm_finding_kind": kind}),)


_error = partial(Case, "GlueLLMFindingError")
_warning = partial(Case, "GlueLLMFindingWarning")
CASES: Final = (
    _error(
        "an instance has a finding: the alert fires at once, and ends with it",
        [found("_ 1x10 0x10")],
        {"45s": NOTHING, "1m15s": _fires(), "10m": _fires(), "13m": NOTHING},
    ),
    _error(
        "one of 200 instances has a finding",
        [found(f"{number // 199}x20", instance=f"api-{number}") for number in range(200)],
        {"5m": _fires()},
    ),
    _error(
        "all instances have it: one alert",
        [found("1x20", instance=f"api-{number}") for number in range(20)],
        {"5m": _fires()},
    ),
    _error(
        "two kinds are two alerts, two pools of one provider are one",
        [found("1x20"), found("1x20", pool="gateway"), found("1x20", "slow_provider")],
        {"5m": _fires() + _fires("slow_provider")},
    ),
    _error(
        "a warning does not page",
        [found("1x20", severity="warning")],
        {"5m": NOTHING, "20m": NOTHING},
    ),
    _error(
        "a process is killed, and its last finding counts for 3 minutes",
        [found("1x10 _x20")],
        {"12m": _fires(), "13m": NOTHING},
    ),
    _error(
        "a process restarts: what the old one found ends, and what the new one finds fires",
        [found("1x10 _x20"), found("_x11 0x5 1x20", "slow_provider")],
        {"12m": _fires(), "13m": NOTHING, "20m": _fires("slow_provider")},
    ),
    _error(
        "a crash loop: each process finds something, exports once and is gone",
        [found(f"_x{2 * run} 1 _x40", instance=f"run-{run}") for run in range(8)],
        {"1m": _fires(), "10m": _fires(), "16m": _fires(), "19m": NOTHING},
    ),
    _error(
        "an incident of hours",
        [found("0x5 1x180")],
        {"5m": NOTHING, "7m": _fires(), "180m": _fires()},
    ),
    _warning(
        "an instance has a finding of severity warning",
        [found("0x2 1x10 0x10", severity="warning")],
        {"2m": NOTHING, "3m15s": _fires(), "16m": NOTHING},
    ),
    _warning(
        "a finding of severity error is not reported twice",
        [found("1x20"), found("0x20", severity="warning")],
        {"5m": NOTHING},
    ),
)
