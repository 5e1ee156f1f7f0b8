"""What processes find: one alert for a service, a provider and a kind, whatever the number."""

from __future__ import annotations

from typing import Final

from opentelemetry.instrumentation.gluellm.telemetry import semconv

from ..case import Case, Firing, Series, series
from .waiting import NOTHING

_ERROR: Final = "GlueLLMFindingError"
_WARNING: Final = "GlueLLMFindingWarning"


def _found(
    values: str,
    kind: str = "leak",
    severity: str = "error",
    instance: str = "api-1",
    pool: str = "openai",
) -> Series:
    own = {
        semconv.FINDING_KIND: kind,
        semconv.FINDING_SEVERITY: severity,
        semconv.POOL_NAME: pool,
        semconv.CALL_SOURCE: "",
    }
    return series(semconv.FINDING_CURRENT, values, own, instance=instance)


def _fires(kind: str = "leak") -> tuple[Firing, ...]:
    return (Firing(labels={"gluellm_finding_kind": kind}),)


CASES: Final = (
    Case(
        _ERROR,
        "an instance has a finding: the alert fires at once, and ends with it",
        [_found("_ 1x10 0x10")],
        {"45s": NOTHING, "1m15s": _fires(), "10m": _fires(), "13m": NOTHING},
    ),
    Case(
        _ERROR,
        "one of 200 instances has a finding",
        [
            *(_found("0x20", instance=f"api-{number}") for number in range(199)),
            _found("1x20", instance="api-199"),
        ],
        {"5m": _fires()},
    ),
    Case(
        _ERROR,
        "all instances have it: one alert",
        [_found("1x20", instance=f"api-{number}") for number in range(20)],
        {"5m": _fires()},
    ),
    Case(
        _ERROR,
        "two kinds are two alerts",
        [_found("1x20"), _found("1x20", "slow_provider")],
        {"5m": _fires() + _fires("slow_provider")},
    ),
    Case(
        _ERROR,
        "two pools of one provider with the same finding are one alert",
        [_found("1x20"), _found("1x20", pool="gateway")],
        {"5m": _fires()},
    ),
    Case(
        _ERROR,
        "a warning does not page",
        [_found("1x20", severity="warning")],
        {"5m": NOTHING, "20m": NOTHING},
    ),
    Case(
        _ERROR,
        "a process is killed, and its last finding counts for 3 minutes",
        [_found("1x10 _x20")],
        {"12m": _fires(), "13m": NOTHING},
    ),
    Case(
        _ERROR,
        "a crash loop: each process finds something, exports once and is gone",
        [_found(f"_x{2 * run} 1 _x40", instance=f"run-{run}") for run in range(8)],
        {"1m": _fires(), "10m": _fires(), "16m": _fires(), "19m": NOTHING},
    ),
    Case(
        _ERROR,
        "an incident of hours",
        [_found("0x5 1x180")],
        {"5m": NOTHING, "7m": _fires(), "180m": _fires()},
    ),
    Case(
        _WARNING,
        "an instance has a finding of severity warning",
        [_found("0x2 1x10 0x10", severity="warning")],
        {"2m": NOTHING, "3m15s": _fires(), "16m": NOTHING},
    ),
    Case(
        _WARNING,
        "a finding of severity error is not reported twice",
        [_found("1x20"), _found("0x20", severity="warning")],
        {"5m": NOTHING},
    ),
)
