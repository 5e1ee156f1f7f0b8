"""Which cause `diagnose` names."""

from __future__ import annotations

from collections.abc import Sequence

from opentelemetry.instrumentation.gluellm import Finding
from opentelemetry.instrumentation.gluellm.diagnosis.findings import Kind, Severity

from .causes import Cause

_CAUSES = {
    Kind.POOL_TOO_SMALL: Cause.TOO_SMALL,
    Kind.SLOW_PROVIDER: Cause.SLOW_PROVIDER,
    Kind.LEAK: Cause.LEAK,
    Kind.SLOW_CONSUMER: Cause.SLOW_CONSUMER,
    Kind.CLIENT_CHURN: Cause.CHURN,
    Kind.CONNECT_FAILURES: Cause.REFUSED,
    Kind.REUSE_FAILURES: Cause.REUSE_FAILURES,
    Kind.BLOCKED_EVENT_LOOP: Cause.BLOCKED_LOOP,
    Kind.HTTP2_STUCK: Cause.HTTP2_STUCK,
}
OTHER = "another"
"""The verdict where the first finding is none of the causes."""
NONE = "no verdict"
"""Where the run itself came to no end."""


def verdict(findings: Sequence[Finding]) -> str:
    """The first finding that is more than worth knowing; without one the process is healthy."""
    for finding in findings:
        if finding.severity is not Severity.INFO:
            return _CAUSES.get(finding.kind, OTHER)
    return Cause.HEALTHY
