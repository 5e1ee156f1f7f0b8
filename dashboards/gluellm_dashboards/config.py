"""Values that an operator may change: labels, windows, the base of links.

Thresholds are in the library's ``thresholds.py``, since ``diagnose()``, the log and ``watch`` use
them as well. Change them and run ``make dashboards``; never edit the generated files by hand.
"""

from __future__ import annotations

from typing import Final

BASE = ""
"""Address below which the files of this repository can be read, as ``docs/when-calls-hang.md``. If
it is empty, alerts and boards contain no link to a runbook or guide. ``make dashboards ARGS="--base
URL"`` sets it for one run."""
FOLDER: Final = "GlueLLM pools"
"""Folder of the boards in Grafana."""
TAG: Final = "gluellm"
"""Tag of the boards, by which they link to each other."""

EXPORT_INTERVAL: Final = 60
"""Seconds between two exports of a program, OpenTelemetry's default. Users can choose it on the
boards."""
RATE_WINDOW: Final = "5m"
"""Window of rates in rules: at least four export intervals."""
FRESH: Final = "150s"
"""How long rules use a state after its export: 2.5 export intervals, so that one may be lost. The
last state of a killed process must not fire for as long as a store returns it."""
KNOWN: Final = "1h"
"""How long rules remember that a series existed. A series that is newer counts from 0; one that was
not stored for a shorter time, for example while Prometheus was down, does not."""
LASTING: Final = "2h"
"""GlueLLMBlind ignores services that did not report this long ago: they are jobs, which end."""

# What people filter by, as the labels are called on all four ways (docs/metrics.md).
CLUSTER: Final = "k8s_cluster_name"
NAMESPACE: Final = "k8s_namespace_name"
JOB: Final = "job"
VERSION: Final = "service_version"
INSTANCE: Final = "instance"

SERVICE: Final = (CLUSTER, NAMESPACE, JOB)
"""Labels that identify a service."""
PROCESS: Final = (*SERVICE, INSTANCE)
"""Labels that identify a process."""

QUIET_WINDOW: Final = "15m"
"""Window of GlueLLMCallsFail for services with few calls."""
JUDGED: Final = "10m"
"""Time with requests in flight but no judgement after which a process counts as not judged: twice
the longest interval."""
SLOW_WINDOW: Final = "10m"
"""Window in which GlueLLMCallsSlow measures the time per call."""
BASELINE_WINDOW: Final = "1h"
"""Window before `SLOW_WINDOW` that is the baseline of GlueLLMCallsSlow."""
