"""A Collector as agent that forwards to a gateway, with the example's configuration."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.calls import call, exporting, instrumented
from e2e.processes import EXAMPLES
from e2e.programs import Stack
from e2e.running import HOST
from gluellm_pools.fake_provider import FakeProvider
from support.waiting import wait_until

_CALLS = 5

pytest.importorskip("any_llm")


@pytest.fixture
def agent(stack: Stack, tmp_path: Path) -> Iterator[Stack]:
    """A Collector that exports only to the other stack's Collector, the gateway."""
    stack.start("collector", "prometheus_otlp")
    agent = Stack(tmp_path / "agent")
    agent.collector.overlays.append(EXAMPLES / "collector-agent.yaml")
    gateway = f"{HOST}:{stack.collector.ports['grpc']}"
    agent.collector.variables["GATEWAY_OTLP_ENDPOINT"] = gateway
    try:
        agent.start("collector")
        yield agent
    finally:
        agent.stop()


def test_metrics_sent_to_an_agent_arrive_through_the_gateway(
    agent: Stack, stack: Stack, provider: FakeProvider
) -> None:
    """They keep their names and the program's instance."""
    with instrumented(exporting(agent.collector.http_endpoint), "behind-an-agent"):
        call(provider.openai_url, _CALLS)
    count = 'gluellm_pool_lease_duration_seconds_count{instance="behind-an-agent"}'
    (row,) = wait_until(lambda: stack.prometheus_otlp.query(count), "a series")
    assert row["value"][1] == _CALLS
