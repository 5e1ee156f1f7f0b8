"""The default scope: a pool is observed from its first request to an LLM on."""

import pytest

from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.outcomes import assert_rows
from support.rows import new

from .known_hosts import CHAT, LLM, OTHER, at

pytestmark = pytest.mark.only("httpx", "httpx2", "aiohttp", "urllib3")


def test_pool_is_in_scope_from_its_first_request_to_an_llm(runner, library, server, scoped):
    """All of its later requests count, and only these."""
    pool = runner.pool(library)
    pool.get(at(server, LLM))
    pool.get(at(server, LLM, "/v1/models"))
    assert_rows(scoped)
    pool.send(at(server, LLM, CHAT + "?beta=true"), body=b"{}").finish()
    assert scoped.by(semconv.REQUESTS, "address", "provider") == {(LLM, "openai"): 1}
    pool.get(at(server, LLM, "/v1/files"))
    assert scoped.by(semconv.REQUESTS, "address", "provider") == {(LLM, "openai"): 2}
    assert scoped.by(semconv.POOL_LIVE, "name", "library") == {(library.name, library.name): 1}


@pytest.mark.parametrize(
    ("host", "path"), [(OTHER, CHAT), (LLM, "/v1/files"), (LLM, "/v1/threads/t/messages")]
)
def test_other_posts_leave_a_pool_out_of_scope(host, path, runner, library, server, scoped):
    """To another host, or for something else than a call of a model."""
    runner.pool(library).send(at(server, host, path), body=b"{}").finish()
    assert_rows(scoped)
    assert scoped.points(semconv.POOL_OPENED) == []


def test_request_in_flight_holds_an_active_connection(runner, library, server, scoped):
    """Of a request that entered before the pool was in scope, only the connection counts.

    urllib3 has a pool for each host, and does not list the connections in use.
    """
    if library.name == "urllib3":
        pytest.skip("its pools don't list connections in use")
    pool = runner.pool(library)
    pool.get(at(server, OTHER))
    held, gate = pool.hold(server, "/held")
    pool.send(at(server, LLM), body=b"{}").finish()
    connections = scoped.by(semconv.OPEN_CONNECTIONS, "state")
    assert connections == {"active": 1, "idle": 2}
    assert scoped.by(semconv.REQUESTS, "address") == {LLM: 1}
    gate.open()
    held.finish()
    assert scoped.by(semconv.OPEN_CONNECTIONS, "state") == {"idle": 3}
    assert scoped.by(semconv.REQUESTS, "address") == {LLM: 1}
    assert scoped.value(semconv.CONNECTION_OPENED) == 1
    pool.get(at(server, OTHER))
    assert scoped.by(semconv.REQUESTS, "address") == {LLM: 1, OTHER: 1}
    assert scoped.value(semconv.CONNECTION_OPENED) == 1


def test_one_client_for_an_llm_and_another_host_is_one_pool(runner, library, server, scoped):
    """Its requests to the other host have no provider."""
    if library.name == "urllib3":
        pytest.skip("it has a pool for each host")
    pool = runner.pool(library)
    for host in (LLM, OTHER):
        pool.send(at(server, host), body=b"{}").finish()
    assert_rows(scoped, new(), new())
    assert scoped.by(semconv.REQUESTS, "address", "provider") == {
        (LLM, "openai"): 1,
        (OTHER, None): 1,
    }
    assert scoped.value(semconv.POOL_OPENED) == 1
