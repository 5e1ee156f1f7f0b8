"""Pools of one name whose timeouts differ."""

from __future__ import annotations

from opentelemetry.instrumentation.gluellm.diagnosis.findings import Kind
from opentelemetry.instrumentation.gluellm.diagnosis.snapshot import PoolSnapshot
from unit.diagnosis.building import a_pool, a_request, a_snapshot, found, the_totals


def test_finding_is_about_pools_with_the_same_timeouts() -> None:
    """It names the timeouts of the longest wait, and counts the requests that have them."""

    def pool(read_timeout: float, *ages: float) -> PoolSnapshot:
        queued = [a_request("queued", age) for age in ages]
        return a_pool(queued, pool_timeout=600.0, read_timeout=read_timeout)

    pools = pool(300.0, 1.0), pool(60.0, 5.0, 20.0), pool(60.0, 4.0)
    finding = found(Kind.POOL_TIMEOUT, a_snapshot(the_totals(), *pools))
    assert finding.seen == (
        "Pool timeout 600 s, read timeout 60 s; 3 requests queued, the longest for 20 s."
    )
    assert "Timeout(60, connect=5, pool=10)" in finding.cure
