"""Metrics that no board shows, and why."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from opentelemetry.instrumentation.gluellm.telemetry import semconv

NOT_SHOWN: Final[Mapping[str, str]] = {
    semconv.FINDING_CURRENT.name: "the log has the whole text of each finding",
    semconv.FINDING_JUDGED.name: "only tells whether findings are known",
}
"""Reasons by metric name. A metric that is neither here nor on a board fails a test."""
