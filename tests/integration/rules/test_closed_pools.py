"""Requests of a pool after it was closed."""

import gc

from opentelemetry.instrumentation.gluellm.pool.lease import Lease
from support.script import Reply
from support.waiting import wait_until


def leases() -> list[Lease]:
    """Return all leases in memory."""
    gc.collect()
    return [found for found in gc.get_objects() if type(found) is Lease]


def test_pool_that_serves_again_keeps_nothing_of_requests_before_its_close(
    library, runner, server, telemetry
):
    """A request that is queued at the close gets a connection when the pool is used again.

    Since no idle connection is allowed, it is closed before the hook of its response runs.
    """
    before = leases()
    never, gate = server.gate(), server.gate()
    pool = runner.pool(library, max_connections=1, max_keepalive_connections=0)
    holder = pool.send(server.reply("/held", Reply(end_after=never)))
    holder.head()
    waiter = pool.send(server.reply("/queued", Reply(end_after=gate)))
    wait_until(lambda: pool.queued == 1)
    if runner.portal is None:
        pool.raw.close()
    else:
        runner.portal.call(pool.raw.aclose)
    last = pool.send(server.url("/last"))
    waiter.head()
    gate.open()
    for exchange in (waiter, last):
        exchange.read()
    holder.close()
    pool.close()
    telemetry.collect()
    assert [lease for lease in leases() if lease not in before] == []
