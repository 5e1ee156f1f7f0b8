"""What an operator may want otherwise: selectors, thresholds, windows, where runbooks lie.

Change it here and run ``make dashboards``; the generated files are never edited by hand.
"""

from __future__ import annotations

from typing import Final

RUNBOOK_BASE: Final = "https://runbooks.example.com/gluellm-pools"
"""Where ``<AlertName>.md`` lies for whoever is paged: a place of your own, which the generated
files name after ``make dashboards ARGS="--runbooks URL"``."""
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
CONNECT_FAILURE_COUNT: Final = 5
"""GlueLLMConnectFailures: of the requests that left the pool, and at least so many."""
REUSE_FAILURE_SHARE: Final = 0.01
REUSE_FAILURE_COUNT: Final = 3
"""GlueLLMReuseFailures: likewise."""
CHURN_REQUESTS_PER_POOL: Final = 2.0
CHURN_POOLS: Final = 10
"""GlueLLMClientChurn: a pool that serves fewer requests than this was built for one call, once an
instance opens so many within `RATE_WINDOW`."""
CHURN_WARNING: Final = 0.1
CHURN_MUCH: Final = 1 / CHURN_REQUESTS_PER_POOL
"""Pools for a request, on boards."""
RESENT_WARNING: Final = 0.05
RESENT_MUCH: Final = 0.25
"""The share of requests that are sent again, on boards."""
REFUSED_WARNING: Final = 0.01
REFUSED_MUCH: Final = 0.1
"""The share of requests that a provider answers with an error status, on boards."""
FAILED_WARNING: Final = 0.05
FAILED_MUCH: Final = 0.25
"""The share of requests that fail in any way, on boards. Some are sent again, unnoticed."""
WAIT_REQUESTS: Final = 50
"""GlueLLMWaitNearTimeout: fewer requests within `RATE_WINDOW` have no p99 worth the name."""
LEAK_SHARE: Final = 0.05
"""GlueLLMConnectionLeakSuspected: of an instance's limit. One of 1 000 is nobody's emergency."""
LEAK_COUNT: Final = 5
LEAK_GROWTH_WINDOW: Final = "30m"
"""So many at once are a leak where there is no limit to compare with, or where as many are new."""
ORPHANED_SHARE: Final = 0.1
ORPHANED_COUNT: Final = 5
"""GlueLLMHttp2StreamsOrphaned: of the peer's limit; the count where it named none."""
ANOMALY_WINDOW: Final = "15m"
