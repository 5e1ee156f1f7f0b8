"""No instrument has so many series that the SDK folds them."""

import asyncio
import contextlib
from collections import defaultdict
from typing import Any

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor
from opentelemetry.instrumentation.gluellm.pool.call import Call
from studies.bench.network import Backend, answer
from studies.bench.pools import EMPTY, a_pool, a_request, calling, send
from studies.bench.series import failures

MOST_SETS = 1500


def request(pool: Any, host: str, call: Call | None = None) -> None:
    """Send one request, and ignore its outcome."""
    with contextlib.suppress(Exception, asyncio.CancelledError):
        send(pool, host, call, 0.001)


def test_no_instrument_overflows(instrument):
    """Hundreds of names, origins, ports and statuses, each error everywhere, for every model."""
    telemetry = instrument(
        metrics="full", max_origins=200, model_attributes=True, time_in_queue=True
    )
    sets: dict[str, set[frozenset[Any]]] = defaultdict(set)

    def collect() -> None:
        for name, points in telemetry.collect().items():
            sets[name].update(frozenset(point.attributes.items()) for point in points)

    # Origins and statuses on one pool, as a crawler would.
    network = Backend(EMPTY)
    one = a_pool(network, max_connections=1)
    for number in range(260):
        network.parts = answer(b"", status=200 + number)
        request(one, f"host-{number}.test")
    network.parts = [answer(b"", status=status)[0] for status in range(200, 1000)]
    for _ in network.parts:
        request(one, "host-1.test")
    collect()
    # Names.
    network = Backend(EMPTY)
    pools = [a_pool(network, max_connections=1) for _ in range(60)]
    for number, pool in enumerate(pools):
        GlueLLMInstrumentor.instrument_client(pool, f"pool-{number}")
        for port in range(5):
            request(pool, f"host-{number}.test:{8000 + port}", Call("groq"))
    collect()
    # Providers, which create_openai_compatible() lets applications name freely.
    for number in range(300):
        request(pools[number % 60], f"host-{number % 60}.test:8000", Call(f"provider-{number}"))
    collect()
    # Models, a few on each pool and origin.
    for number in range(450):
        call = Call("openai", f"model-{number}", "chat")
        pool, host = pools[number % 60], f"host-{number % 60}.test"
        for origin in range(4):
            request(pool, f"{host}:{8000 + origin}", call)
        if number % 5 == 0:
            with calling(call):
                held = pool.handle_request(a_request(host))
            request(pool, host, call)  # times out in the queue
            held.close()
    collect()
    # Errors, on new connections, since each request goes to another origin than the last.
    for failing in failures():
        vars(network).update(vars(failing))
        for number in range(0, 60, 3):
            for port in range(5):
                request(pools[number], f"host-{number}.test:{8000 + port}")
    collect()
    for name, found in sets.items():
        assert len(found) < MOST_SETS, (name, len(found))
        keys = {key for attributes in found for key, _ in attributes}
        assert "otel.metric.overflow" not in keys, name
    for pool in (one, *pools):
        pool.close()
