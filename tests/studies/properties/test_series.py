"""Series: never so many that the SDK folds them."""

from __future__ import annotations

from typing import Any

from integration.rules.network import Network
from integration.rules.test_bounds import (
    FAILURES_TO_CONNECT,
    FAILURES_TO_READ,
    FAILURES_TO_WRITE,
    error_of,
    request,
)
from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor
from opentelemetry.instrumentation.gluellm.attribution.context import current_call
from opentelemetry.instrumentation.gluellm.pool.call import Call
from support.libraries import Library
from support.telemetry import Telemetry

MOST_SETS = 1500


class Sets:
    """The attribute sets that each instrument has had so far."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry
        self.seen: dict[str, set[frozenset[Any]]] = {}

    def collect(self) -> None:
        """Add those of one more collection."""
        for name, points in self._telemetry.collect().items():
            found = self.seen.setdefault(name, set())
            found.update(frozenset(point.attributes.items()) for point in points)

    def check(self) -> None:
        """None has overflowed, and none is near it."""
        for name, found in self.seen.items():
            assert len(found) < MOST_SETS, (name, len(found))
            keys = {key for attributes in found for key, _ in attributes}
            assert "otel.metric.overflow" not in keys, name


def test_no_instrument_overflows(instrument):
    """Hundreds of names, origins, ports and statuses, each error everywhere, for every model."""
    library = Library.load("httpx2")
    telemetry = instrument(
        metrics="full", max_origins=200, model_attributes=True, time_in_queue=True
    )
    sets = Sets(telemetry)
    network = Network()
    one = library.core.ConnectionPool(network_backend=network, max_connections=1)
    # Origins and statuses on one pool, as a crawler would.
    for number in range(260):
        request(library, one, f"http://host-{number}.test/{200 + number}")
    for status in range(200, 1000):
        request(library, one, f"http://host-1.test/{status}")
    sets.collect()
    # Names.
    pools = []
    for name in range(60):
        pool = library.core.ConnectionPool(network_backend=network, max_connections=1)
        GlueLLMInstrumentor.instrument_client(pool, f"pool-{name}")
        pools.append(pool)
        token = current_call.set(Call("groq"))
        for port in range(5):
            request(library, pool, f"http://host-{name}.test:{8000 + port}/200")
        current_call.reset(token)
    sets.collect()
    # Providers, as create_openai_compatible() lets anybody name them.
    for number in range(300):
        token = current_call.set(Call(f"provider-{number}"))
        request(library, pools[number % 60], f"http://host-{number % 60}.test:8000/200")
        current_call.reset(token)
    sets.collect()
    # Models, a few on each pool and origin.
    for number in range(450):
        token = current_call.set(Call("openai", f"model-{number}", "chat"))
        pool = pools[number % 60]
        for origin in range(4):
            request(library, pool, f"http://host-{number % 60}.test:{8000 + origin}/200")
        if number % 5 == 0:
            held = pool.handle_request(library.request(f"http://host-{number % 60}.test/200"))
            request(library, pool, f"http://host-{number % 60}.test/200")  # times out in the queue
            held.close()
        current_call.reset(token)
    sets.collect()
    # Errors.
    for where, failures in (
        ("connect_error", [error_of(library, *failure) for failure in FAILURES_TO_CONNECT]),
        ("read_error", [error_of(library, name, None) for name in FAILURES_TO_READ]),
        ("write_error", [error_of(library, name, None) for name in FAILURES_TO_WRITE]),
    ):
        for error in failures:
            setattr(network, where, error)
            for number in range(0, 60, 3):
                for port in range(5):
                    request(library, pools[number], f"http://host-{number}.test:{8000 + port}/200")
            setattr(network, where, None)
    sets.collect()
    sets.check()
    for pool in (one, *pools):
        pool.close()
