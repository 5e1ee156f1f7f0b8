"""Test cases for promtool: series, and which alerts fire when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from gluellm_pools.prometheus import label_name, metric_name
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from opentelemetry.instrumentation.gluellm.telemetry.semconv import Metric

from .. import naming
from . import alerts
from .alert import Alert

_JOB: Final = "api"
_POOL: Final = {
    semconv.PROVIDER_NAME: "openai",
    semconv.POOL_NAME: "openai",
    semconv.POOL_LIBRARY: "httpx",
}
_CALL: Final = {semconv.CALL_SOURCE: "any_llm", semconv.OPERATION_NAME: "chat"}
_ORIGIN: Final = {semconv.SERVER_ADDRESS: "api.example.com", semconv.SERVER_PORT: "443"}
_EVALUATION: Final = alerts.INTERVAL
_EXPORTS: Final = "1m"

Series = Mapping[str, str]
"""A series in promtool's format."""


def series(
    metric: Metric,
    values: str,
    own: Mapping[str, str] | None = None,
    *,
    instance: str = "api-1",
    **labels: str,
) -> Series:
    """Return a metric's series in promtool's format: one value per export, a minute apart.

    It has the attributes of its level, its ``own`` ones, and further ``labels``. Raises
    UnknownNameError for an attribute that the metric does not have.
    """
    known = {**_POOL, **_ORIGIN, **_CALL}
    level = {key: value for key, value in known.items() if key in metric.attributes}
    attributes = {
        naming.label(key, metric): value for key, value in {**level, **(own or {})}.items()
    }
    return other(metric_name(metric), values, instance=instance, **attributes, **labels)


def other(
    name: str, values: str, *, instance: str = "api-1", job: str = _JOB, **labels: str
) -> Series:
    """Return a series that is not in the contract."""
    there = {"job": job, "instance": instance, **labels}
    inner = ",".join(f'{label}="{value}"' for label, value in there.items() if value)
    return {"series": f"{name}{{{inner}}}", "values": values}


@dataclass(frozen=True, slots=True)
class Firing:
    """An alert that is expected at a time, with the labels that differ between cases."""

    kind: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Case:
    """One sequence of events."""

    alert: str
    says: str
    """What happens, and whether the alert fires."""
    series: Sequence[Series]
    expected: Mapping[str, Sequence[Firing]]
    """Alerts that fire, by time. No other alert of this name may fire."""

    @property
    def fires(self) -> bool:
        """Return whether the alert fires at any time."""
        return any(self.expected.values())

    @property
    def test(self) -> dict[str, Any]:
        """Return the test in the format of promtool."""
        return {
            "name": f"{self.alert}: {self.says}",
            "interval": _EXPORTS,
            "input_series": [dict(one) for one in self.series],
            "promql_expr_test": [
                {
                    "expr": f'ALERTS{{alertname="{self.alert}",alertstate="firing"}}',
                    "eval_time": moment,
                    "exp_samples": [{"labels": self._labels(one), "value": 1} for one in firing],
                }
                for moment, firing in self.expected.items()
            ],
        }

    def _labels(self, firing: Firing) -> str:
        (alert,) = (
            one for one in alerts.ALERTS if (one.name, one.kind) == (self.alert, firing.kind)
        )
        labels = {
            "alertname": alert.name,
            "alertstate": "firing",
            "severity": alert.severity,
            "kind": alert.kind,
            **_defaults(alert),
            **firing.labels,
        }
        inner = ",".join(f'{label}="{value}"' for label, value in labels.items() if value)
        return f"ALERTS{{{inner}}}"


def _defaults(alert: Alert) -> dict[str, str]:
    known = {"job": _JOB, "instance": "api-1"}
    known |= {label_name(key): value for key, value in _POOL.items()}
    return {label: known[label] for label in alert.labels if label in known}


def document(cases: Sequence[Case]) -> dict[str, Any]:
    """Return a file for ``promtool test rules``, next to the rules' folder."""
    return {
        "rule_files": ["../alerts.yaml"],
        "evaluation_interval": _EVALUATION,
        "tests": [case.test for case in cases],
    }
