"""Make a request with httpx2 under the name httpx. Argument: a server's URL."""

import sys

import httpx2

httpx2.alias_httpx()

import httpx  # noqa: E402

from opentelemetry.instrumentation.gluellm.telemetry import semconv  # noqa: E402
from support.installation import instrument  # noqa: E402
from support.telemetry import Telemetry  # noqa: E402

assert httpx is httpx2
telemetry = Telemetry()
instrument(telemetry, http_spans=True)
with httpx.Client(trust_env=False) as client:
    client.get(sys.argv[1])
    spans = [span for span in telemetry.spans() if span.kind.name == "CLIENT"]
    leases = telemetry.count(semconv.LEASE_DURATION)
    print(f"spans={len(spans)} leases={leases} pools={telemetry.by(semconv.POOL_LIVE, 'library')}")
