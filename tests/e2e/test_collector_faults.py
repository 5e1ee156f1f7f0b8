"""While a Collector fails, no call fails; after its recovery, every count is right."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from gluellm_pools.fake_provider import FakeProvider
from support.waiting import wait_until

from .processes import caller, environment
from .programs import STORES, Collector, Stack

pytest.importorskip("any_llm")

_FULL = Path(__file__).parent / "collector" / "full.yaml"
_WITHIN = 40.0
_REQUESTS = 'gluellm_pool_requests_total{job="calling"}'


@contextmanager
def killed(collector: Collector) -> Iterator[None]:
    """Kill the Collector, and start it again at the end of the block."""
    collector.kill()
    yield
    collector.start()


@contextmanager
def hanging(collector: Collector) -> Iterator[None]:
    """Pause the Collector: it accepts connections, but does not answer until the end."""
    os.kill(collector.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(collector.pid, signal.SIGCONT)


@contextmanager
def full(collector: Collector) -> Iterator[None]:
    """Run a Collector that is out of memory and refuses all data until the end."""
    collector.stop()
    collector.overlays.append(_FULL)
    collector.start()
    yield
    collector.stop()
    collector.overlays.remove(_FULL)
    collector.start()


@pytest.mark.parametrize(
    ("fault", "protocol"), [(killed, "grpc"), (hanging, "http/protobuf"), (full, "http/protobuf")]
)
def test_a_failing_collector_does_not_affect_calls_or_counts(
    fault: Callable[[Collector], AbstractContextManager[None]],
    protocol: str,
    stack: Stack,
    provider: FakeProvider,
    tmp_path: Path,
) -> None:
    """Calls succeed while exports fail. Later, each store has all requests, without a reset."""
    stack.start()
    collector, log = stack.collector, tmp_path / "log"
    variables = environment(
        collector.grpc_endpoint if protocol == "grpc" else collector.http_endpoint,
        "calling",
        every=0.2,
        OTEL_EXPORTER_OTLP_PROTOCOL=protocol,
        OTEL_EXPORTER_OTLP_TIMEOUT="0.5",
    )
    with caller(provider, variables, log) as program:
        program.call(3)
        with fault(collector):

            def has_failed() -> bool:
                program.call(1)
                return "Failed to export metrics" in log.read_text()

            wait_until(has_failed, "an export fails", _WITHIN)
        program.call(3)
        for store in (getattr(stack, name) for name in STORES):
            wait_until(
                lambda store=store: (
                    [row["value"][1] for row in store.query(f"sum({_REQUESTS})")]
                    == [provider.counts.requests]
                ),
                f"all requests are in {store.name}",
                _WITHIN,
            )
            assert not store.query(f"resets({_REQUESTS}[10m]) > 0")
    assert program.process.returncode == 0
    assert "Traceback" not in log.read_text()
