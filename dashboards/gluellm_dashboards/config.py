"""What an operator may want otherwise: selectors, thresholds, windows, where runbooks lie.

Change it here and run ``make dashboards``; the generated files are never edited by hand.
"""

from __future__ import annotations

from typing import Final

RUNBOOK_BASE: Final = (
    "https://github.com/gluellm/opentelemetry-instrumentation-gluellm/blob/main/dashboards/runbooks"
)
"""Where ``<AlertName>.md`` lies for whoever is paged."""
FOLDER: Final = "GlueLLM pools"
"""The folder of the boards in Grafana."""
TAG: Final = "gluellm"
"""The tag of the boards, by which they link to each other."""

EXPORT_INTERVAL: Final = 60
"""Seconds between two exports of a program: OpenTelemetry's default. Boards let it be chosen."""
RATE_WINDOW: Final = "5m"
"""Of rates in rules. It spans at least four export intervals."""

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

# Thresholds. Seconds and shares.
WAIT_WARNING: Final = 1.0
"""A request that waited so long for a connection was noticed by somebody."""
STUCK_AFTER: Final = 30.0
"""Requests that wait so long are stuck: GlueLLMRequestsStuck."""
OCCUPANCY_WARNING: Final = 0.8
OCCUPANCY_FULL: Final = 1.0
"""Full is no alarm by itself: what counts is who waits."""
TIMEOUT_SHARE: Final = 0.01
TIMEOUT_COUNT: Final = 5
"""GlueLLMPoolTimeouts: both have to be exceeded within `RATE_WINDOW`."""
WAIT_OF_TIMEOUT: Final = 0.5
"""GlueLLMWaitNearTimeout: p99 of the wait as a share of the pool timeout."""
LAG_WARNING: Final = 0.2
"""No verdict on pool or provider is given while an event loop is later than this."""
LAG_CRITICAL: Final = 1.0
CONNECT_FAILURE_SHARE: Final = 0.05
"""GlueLLMConnectFailures: of the requests that left the pool."""
REUSE_FAILURE_SHARE: Final = 0.01
"""GlueLLMReuseFailures: likewise."""
CHURN_REQUESTS_PER_POOL: Final = 2.0
"""GlueLLMClientChurn: a pool that serves fewer requests than this was built for one call."""
