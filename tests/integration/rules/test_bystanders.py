"""The instrumentation has no side effects on unusual programs."""

import copy
import inspect
import pickle
from typing import Any

import pytest

from opentelemetry.instrumentation.gluellm.telemetry import gauges
from support.script import Reply
from support.waiting import wait_until

from .conftest import BOTH

pytestmark = BOTH


@pytest.mark.parametrize("snapshot_of", [copy.copy, copy.deepcopy, pickle.dumps])
def test_request_in_flight_can_be_copied(library, server, telemetry, snapshot_of):
    """The attribute that the package adds to it does not prevent a copy, and is not copied."""
    pool = library.core.ConnectionPool()
    request = library.core.Request("GET", server.url(), headers={"Host": "h"})
    response = pool.handle_request(request)
    snapshot_of(request)
    response.read()
    response.close()
    pool.close()


def test_hooked_coroutine_functions_are_still_coroutine_functions(library, telemetry):
    """The test covers the public methods of an async pool."""
    pool = library.core.AsyncConnectionPool
    assert inspect.iscoroutinefunction(pool.handle_async_request)
    assert inspect.iscoroutinefunction(pool.aclose)


@pytest.mark.anyio
async def test_close_of_a_pool_is_noted_at_the_call_and_done_when_awaited(
    library, server, telemetry
):
    """On every Python: the coroutine of ``aclose()`` may run later."""
    pool = library.core.AsyncConnectionPool()
    response = await pool.request("GET", server.url())
    assert response.status == 200
    closing = pool.aclose()
    telemetry.check(POOL_LIVE=0)
    assert len(pool.connections) == 1
    await closing
    assert pool.connections == []
    assert telemetry.closed() == {"pool_closed": 1}


def test_time_of_a_request_that_ends_during_a_collection_counts_once(
    threads, library, server, telemetry, monkeypatch
):
    """It is in flight in the first half of the collection, and has ended in the second."""
    gate = server.gate()
    pool = threads.pool(library)
    exchange = pool.send(server.reply("/held", Reply(head_after=gate)))
    wait_until(lambda: telemetry.current("awaiting_response") == 1)
    add_pool = gauges._add_pool

    def meanwhile(*args: Any) -> None:
        gate.open()
        exchange.head()
        exchange.read()
        exchange.wait()
        add_pool(*args)

    monkeypatch.setattr(gauges, "_add_pool", meanwhile)
    telemetry.collect()
    monkeypatch.setattr(gauges, "_add_pool", add_pool)
    assert sum(telemetry.phases().values()) <= exchange.duration
    pool.close()
