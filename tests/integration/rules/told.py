"""All that left the instrumentation, for the tests that one library needs of its own.

What holds for all libraries is in ``tests/integration/secrets``.
"""

from __future__ import annotations

import logging

import pytest

from opentelemetry.instrumentation.gluellm import snapshot
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.telemetry import Telemetry

SECRET = "s3cr3t"
KNOWN = {attribute.key for attribute in semconv.ATTRIBUTES} | {
    value
    for name, value in vars(semconv).items()
    if name.startswith(("SPAN_", "TLS_", "CONNECTION_REUSED")) and isinstance(value, str)
}


def everything(telemetry: Telemetry, logs: pytest.LogCaptureFixture) -> str:
    """Metrics, spans, logs and the snapshot as text."""
    data = telemetry.reader.get_metrics_data()
    assert data is not None
    texts = [data.to_json()]
    texts += [span.to_json() or "" for span in telemetry.spans()]
    texts += [
        logging.Formatter().format(record)
        for record in logs.records
        if record.name.startswith("opentelemetry")
    ]
    texts.append(repr(snapshot()))
    return "\n".join(texts)
