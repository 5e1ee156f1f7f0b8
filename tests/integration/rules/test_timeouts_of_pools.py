"""Pools of one name can have different timeouts."""

import httpx

from opentelemetry.instrumentation.gluellm import snapshot


def test_pools_of_one_name_keep_their_own_pool_timeouts(instrument, server):
    """The latest request of one client says nothing about another client."""
    instrument(scope="all")
    timeouts = (7.0, 3.0)
    clients = [
        httpx.Client(trust_env=False, timeout=httpx.Timeout(60, pool=pool)) for pool in timeouts
    ]
    for client in clients:
        client.get(server.url("/"))
    pools = snapshot().pools
    assert len({pool.name for pool in pools}) == 1
    assert {pool.pool_timeout for pool in pools} == set(timeouts)
    for client in clients:
        client.close()
