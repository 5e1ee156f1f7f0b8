"""What an operator may want otherwise: selectors, windows, where runbooks lie.

Thresholds are in the library's ``thresholds.py``, since ``diagnose()``, the log and ``watch`` use
them as well.

Change it here and run ``make dashboards``; the generated files are never edited by hand.
"""

from __future__ import annotations

from typing import Final

RUNBOOK_BASE = ""
"""Address below which ``<AlertName>.md`` can be read, as of a wiki. While it is empty, alerts and
boards contain no link to a runbook. ``make dashboards ARGS="--runbooks URL"`` sets it for one
run."""
FOLDER: Final = "GlueLLM pools"
"""The folder of the boards in Grafana."""
TAG: Final = "gluellm"
"""The tag of the boards, by which they link to each other."""

EXPORT_INTERVAL: Final = 60
"""Seconds between two exports of a program: OpenTelemetry's default. Boards let it be chosen."""
RATE_WINDOW: Final = "5m"
"""Of rates in rules. It spans at least four export intervals."""
FRESH: Final = "150s"
"""How long rules believe a state after its export: 2.5 export intervals, so that one may be lost. A
process that was killed says nothing more, and its last state must not ring for as long as a store
shows it."""
KNOWN: Final = "1h"
"""For how long rules remember that a series was there. A counter that was not counts from 0; one
that only was not stored for less than this, as while Prometheus was down, does not."""
LASTING: Final = "2h"
"""A service that did not report so long ago was a job, whose end is no loss: GlueLLMBlind."""

# What people filter by, as the labels are called on all four ways (docs/metrics.md).
CLUSTER: Final = "k8s_cluster_name"
NAMESPACE: Final = "k8s_namespace_name"
JOB: Final = "job"
VERSION: Final = "service_version"
INSTANCE: Final = "instance"

SERVICE: Final = (CLUSTER, NAMESPACE, JOB)
"""Labels that tell services apart."""
PROCESS: Final = (*SERVICE, INSTANCE)
"""Labels that tell processes apart."""

LEAK_GROWTH_WINDOW: Final = "30m"
"""In which GlueLLMConnectionLeakSuspected counts new suspects."""
ANOMALY_WINDOW: Final = "15m"
"""In which GlueLLMPoolAnomaly counts."""
QUIET_WINDOW: Final = "15m"
"""Window of GlueLLMCallsFail and GlueLLMCallsCancelled for services with few calls."""
SLOW_WINDOW: Final = "10m"
"""Window in which GlueLLMCallsSlow measures the time per call."""
BASELINE_WINDOW: Final = "1h"
"""Window before `SLOW_WINDOW` that is the baseline of GlueLLMCallsSlow."""
