"""How many series a provider has: healthy, and after everything that can go wrong.

It prints the numbers as JSON. A series is what Prometheus stores: each bucket of a histogram,
``+Inf`` included, its sum and its count.
"""

import asyncio
import contextlib
import errno
import json
import socket
import ssl
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpcore

from opentelemetry.instrumentation.gluellm.telemetry import semconv

from .network import AsyncBackend, Backend, answer
from .pools import EMPTY, HOST, a_pool, a_request, calling, send
from .workload import Sdk, any_llm_call, observed, series_of

ANOTHER_HOST = "api.example.com"
_STATUSES = (200, 400, 401, 404, 429, 500, 503, 529)


def _caused(error: BaseException, cause: BaseException) -> BaseException:
    # The pool raises the error again "from None", which keeps only the context.
    error.__cause__ = error.__context__ = cause
    return error


def failures() -> Iterator[Backend]:
    """Networks that each fail in one way."""
    head = EMPTY[0][:-2]
    yield Backend(EMPTY, connect=httpcore.ConnectTimeout())
    yield Backend(EMPTY, connect=httpcore.ProxyError())
    for cause in (
        socket.gaierror(-2, ""),
        ConnectionRefusedError(),
        ssl.SSLError(),
        OSError(errno.EMFILE, ""),
        OSError(errno.EADDRNOTAVAIL, ""),
    ):
        yield Backend(EMPTY, connect=_caused(httpcore.ConnectError(), cause))
    yield Backend(EMPTY, connect=RuntimeError())
    yield Backend(EMPTY, connect=asyncio.CancelledError())
    yield Backend(EMPTY, write=httpcore.WriteTimeout())
    for error in (
        httpcore.ReadTimeout,
        httpcore.ReadError,
        httpcore.RemoteProtocolError,
        asyncio.CancelledError,
        RuntimeError,
    ):
        yield Backend([error()])
        yield Backend([head, error()])
    # The server goes away under a reused connection.
    yield Backend([*EMPTY, httpcore.ReadError()])
    yield Backend([b"nonsense\r\n\r\n"])


def _send(pool: httpcore.ConnectionPool, *hosts: str) -> None:
    """Send one call's requests: one to each host, or two to the default host."""
    call = any_llm_call()
    for host in hosts or (HOST, HOST):
        with contextlib.suppress(Exception, asyncio.CancelledError):
            send(pool, host, call, 60.0)


def everything() -> None:
    """Play all answers, failures and ends of requests and connections."""
    backends = [Backend(answer(b"{}", status=status)) for status in _STATUSES]
    backends += failures()
    for backend in backends:
        with a_pool(backend) as pool:
            # The client tries again, and once more on the same connection.
            _send(pool)
    _closed_connections()
    _clients_mistakes()
    asyncio.run(_queued())


def _closed_connections() -> None:
    with a_pool(keepalive_expiry=0.01) as pool:
        _send(pool, HOST)
        time.sleep(0.02)
        _send(pool, HOST)
    with a_pool(max_keepalive_connections=0) as pool:
        _send(pool)
    with a_pool(max_connections=1) as pool:
        _send(pool, HOST, ANOTHER_HOST)
    with a_pool(Backend(answer(b"{}", headers=["Connection: close"]))) as pool:
        _send(pool, HOST)
    backend = Backend(EMPTY)
    with a_pool(backend) as pool:
        _send(pool, HOST)
        backend.last.readable = True
        _send(pool, HOST)
    _send(a_pool(), HOST)  # dropped without a close
    with a_pool(Backend((EMPTY[0][:-1], b"}"))) as pool, calling():
        pool.handle_request(a_request(pool_timeout=60.0)).close()


def _clients_mistakes() -> None:
    """The client closes itself while it reads, and sends a header that is not allowed."""
    with a_pool(Backend((EMPTY[0][:-1], httpcore.ReadError()))) as pool, calling():
        response = pool.handle_request(a_request())
        pool.close()
        with contextlib.suppress(httpcore.ReadError):
            response.read()
        response.close()
    with a_pool() as pool, calling(), contextlib.suppress(httpcore.LocalProtocolError):
        pool.request("GET", f"http://{HOST}/", headers=[("x-key", "secret\n")])


async def _queued() -> None:
    """A pool of one connection that is held: a waiter times out, another is cancelled."""
    backend: Any = AsyncBackend(EMPTY)
    async with httpcore.AsyncConnectionPool(max_connections=1, network_backend=backend) as pool:
        with calling():
            held = await pool.handle_async_request(a_request(pool_timeout=1))
            for _ in range(2):
                with contextlib.suppress(httpcore.PoolTimeout):
                    await pool.handle_async_request(a_request(pool_timeout=0.01))
            for _ in range(2):
                waiter = asyncio.create_task(pool.handle_async_request(a_request(pool_timeout=1)))
                await asyncio.sleep(0.01)
                waiter.cancel()
                await asyncio.wait([waiter])
            await held.aclose()


def _count(sdk: Sdk) -> tuple[int, int, Counter[str]]:
    """Series, points, and series by metric, of the provider towards `HOST`."""
    series: Counter[str] = Counter()
    points = 0
    for name, point in sdk.points():
        attributes = point.attributes or {}
        is_host = attributes.get(semconv.SERVER_ADDRESS, HOST) == HOST
        if semconv.PROVIDER_NAME in attributes and is_host:
            points += 1
            series[name] += series_of(point)
    return series.total(), points, series


def healthy() -> httpcore.ConnectionPool:
    """A pool whose requests all succeeded."""
    pool = a_pool(max_keepalive_connections=5)
    for _ in range(3):
        _send(pool, HOST)
    return pool


def _main() -> None:
    sdk = observed()
    open_pool = healthy()
    well, points, _ = _count(sdk)
    everything()
    failing, failing_points, by_metric = _count(sdk)
    open_pool.close()
    numbers = {
        "healthy": well,
        "healthy points": points,
        "after failures": failing,
        "points after failures": failing_points,
        "most": ", ".join(f"{name} {count}" for name, count in by_metric.most_common(5)),
    }
    print(json.dumps(numbers))


if __name__ == "__main__":
    _main()
