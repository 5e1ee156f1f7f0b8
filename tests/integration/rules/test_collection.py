"""A collection uses no socket and no pool's lock, and creates no instrument."""

import threading
from typing import Any

from opentelemetry.sdk.metrics import Meter

from opentelemetry.instrumentation.gluellm import snapshot
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.installation import installed
from support.waiting import in_time

from .conftest import BOTH


@BOTH
def test_collection_uses_no_socket(runner, library, server, telemetry, monkeypatch):
    """has_expired() and is_readable would poll the socket of each idle connection."""
    pool = runner.pool(library)
    pool.get(server.url())
    touched: list[str] = []
    (connection,) = pool.connections
    inner = connection._connection
    for owner in (type(connection), type(inner)):
        monkeypatch.setattr(owner, "has_expired", lambda self: touched.append("has_expired"))
    stream = type(inner._network_stream)
    original = stream.get_extra_info

    def get_extra_info(self: Any, info: str) -> Any:
        touched.append(info)
        return original(self, info)

    monkeypatch.setattr(stream, "get_extra_info", get_extra_info)
    assert telemetry.value(semconv.OPEN_CONNECTIONS, state="idle") == 1
    assert len(snapshot().pools) == 1
    assert touched == []


@BOTH
def test_response_closes_without_waiting_for_a_collection(library, server, telemetry, monkeypatch):
    """Requests continue during a collection that hangs."""
    installation = installed()
    inside, go_on = threading.Event(), threading.Event()
    state = installation.registry.state

    def slow(now: int) -> Any:
        inside.set()
        go_on.wait(60)
        return state(now)

    pool = library.core.ConnectionPool()
    pool.request("GET", server.url())
    monkeypatch.setattr(installation.registry, "state", slow)
    collector = threading.Thread(target=telemetry.collect)
    collector.start()
    assert inside.wait(60)
    assert in_time(lambda: pool.request("GET", server.url())).status == 200
    go_on.set()
    collector.join(60)
    pool.close()


def test_collection_creates_no_instrument(threads, library, server, telemetry, monkeypatch):
    """The SDK holds its locks then. instrument() creates all instruments."""
    created: list[str] = []
    for method in vars(Meter):
        if method.startswith("create_"):
            monkeypatch.setattr(Meter, method, lambda self, name, **_: created.append(name))
    pool = threads.pool(library, max_connections=1)
    pool.get(server.url())
    held = pool.send(server.url())
    held.head()
    pool.send(server.url(), pool=0.01).failure()
    held.close()
    threads.pool(library).send("http://127.0.0.1:9").failure()
    telemetry.collect()
    pool.close()
    telemetry.collect()
    assert created == []
