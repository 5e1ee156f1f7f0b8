"""How many series a provider makes: healthy, and after everything that can go wrong.

It prints the numbers as JSON. A series is what Prometheus stores: each
bucket of a histogram, ``+Inf`` included, its sum and its count.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import socket
import ssl
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import httpcore

from opentelemetry.instrumentation.gluellm.attribution.context import current_call
from opentelemetry.instrumentation.gluellm.telemetry import semconv

from .network import AsyncBackend, Backend, Stream, answer
from .workload import OURS, Instrumentation, Sdk, any_llm_call

HOST = "api.openai.com"
_OK = answer(b"{}")
Part = bytes | BaseException
_STATUSES = (200, 400, 401, 404, 429, 500, 503, 529)


class _Stream(Stream):
    def __init__(self, parts: Sequence[Part], write: BaseException | None) -> None:
        super().__init__(())
        self._script = list(parts)
        self._write = write
        self.readable = False
        """What the kernel says of an idle connection that the server has closed."""

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        part = self._script.pop(0) if self._script else b""
        if isinstance(part, BaseException):
            raise part
        return part

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        if self._write is not None:
            raise self._write

    def get_extra_info(self, info: str) -> Any:
        return self.readable if info == "is_readable" else None


class _Failing(Backend):
    """Raises at a given place, else answers with ``parts`` once."""

    def __init__(
        self,
        parts: Sequence[Part] = _OK,
        *,
        connect: BaseException | None = None,
        write: BaseException | None = None,
    ) -> None:
        super().__init__(())
        self._script = parts
        self._connect = connect
        self._write = write
        self.streams: list[_Stream] = []

    def connect_tcp(self, *args: Any, **kwargs: Any) -> Stream:
        if self._connect is not None:
            raise self._connect
        self.streams.append(_Stream(self._script, self._write))
        return self.streams[-1]


def _caused(error: BaseException, cause: BaseException) -> BaseException:
    # The pool raises it anew "from None", which keeps the context alone.
    error.__cause__ = error.__context__ = cause
    return error


def _failures() -> Iterator[_Failing]:
    head = _OK[0][:-2]
    connect = httpcore.ConnectError
    yield _Failing(connect=httpcore.ConnectTimeout())
    yield _Failing(connect=_caused(connect(), socket.gaierror(-2, "")))
    yield _Failing(connect=_caused(connect(), ConnectionRefusedError()))
    yield _Failing(connect=_caused(connect(), ssl.SSLError()))
    yield _Failing(connect=_caused(connect(), OSError(errno.EMFILE, "")))
    yield _Failing(connect=_caused(connect(), OSError(errno.EADDRNOTAVAIL, "")))
    yield _Failing(connect=RuntimeError())
    yield _Failing(connect=asyncio.CancelledError())
    yield _Failing(write=httpcore.WriteTimeout())
    for error in (
        httpcore.ReadTimeout,
        httpcore.ReadError,
        httpcore.RemoteProtocolError,
        asyncio.CancelledError,
        RuntimeError,
    ):
        yield _Failing([error()])
        yield _Failing([head, error()])
    # The server goes away under a reused connection.
    yield _Failing([*_OK, httpcore.ReadError()])
    yield _Failing([b"nonsense\r\n\r\n"])


def _send(pool: httpcore.ConnectionPool, host: str = HOST) -> None:
    request = httpcore.Request(
        "GET",
        f"http://{host}/",
        headers=[("Host", host)],
        extensions={"timeout": {"pool": 60.0}},
    )
    with contextlib.suppress(Exception, asyncio.CancelledError):
        response = pool.handle_request(request)
        try:
            for _part in response.stream:  # type: ignore[union-attr]
                pass
        finally:
            response.close()


def _pool(backend: Any, **settings: Any) -> httpcore.ConnectionPool:
    return httpcore.ConnectionPool(network_backend=backend, **settings)


@contextlib.contextmanager
def _call() -> Iterator[None]:
    token = current_call.set(any_llm_call())
    try:
        yield
    finally:
        current_call.reset(token)


def _healthy() -> httpcore.ConnectionPool:
    pool = _pool(Backend(_OK), max_keepalive_connections=5)
    for _ in range(3):
        with _call():
            _send(pool)
    return pool


def _everything() -> None:
    for status in _STATUSES:
        with _pool(Backend(answer(b"{}", status=status))) as pool, _call():
            # The client tries again, and once more on the same connection.
            _send(pool)
            _send(pool)
    for backend in _failures():
        with _pool(backend) as pool, _call():
            _send(pool)
            _send(pool)
    _closed_connections()
    asyncio.run(_queued())


def _closed_connections() -> None:
    with _pool(Backend(_OK), keepalive_expiry=0.01) as pool, _call():
        _send(pool)
        time.sleep(0.02)
        _send(pool)
    with _pool(Backend(_OK), max_keepalive_connections=0) as pool, _call():
        _send(pool)
        _send(pool)
    with _pool(Backend(_OK), max_connections=1) as pool, _call():
        _send(pool)
        _send(pool, "api.example.com")
    with _pool(Backend(answer(b"{}", headers=["Connection: close"]))) as pool, _call():
        _send(pool)
    with _pool(_Failing()) as pool, _call():
        _send(pool)
        pool._network_backend.streams[0].readable = True  # type: ignore[attr-defined]
        _send(pool)
    pool = _pool(Backend(_OK))
    with _call():
        _send(pool)
    del pool
    with _pool(Backend((_OK[0][:-1], b"}"))) as pool, _call():
        request = httpcore.Request("GET", f"http://{HOST}/", headers=[("Host", HOST)])
        pool.handle_request(request).close()


async def _queued() -> None:
    """A pool of one connection that is held: a waiter times out, another is cancelled."""
    pool = httpcore.AsyncConnectionPool(
        max_connections=1,
        network_backend=AsyncBackend(_OK),  # type: ignore[arg-type]
    )

    def request(pool_timeout: float) -> httpcore.Request:
        return httpcore.Request(
            "GET",
            f"http://{HOST}/",
            headers=[("Host", HOST)],
            extensions={"timeout": {"pool": pool_timeout}},
        )

    async with pool:
        with _call():
            held = await pool.handle_async_request(request(1))
            for _ in range(2):
                with contextlib.suppress(httpcore.PoolTimeout):
                    await pool.handle_async_request(request(0.01))
            for _ in range(2):
                waiter = asyncio.create_task(pool.handle_async_request(request(1)))
                await asyncio.sleep(0.01)
                waiter.cancel()
                await asyncio.wait([waiter])
            await held.aclose()


def _count(sdk: Sdk) -> tuple[int, int, dict[str, int]]:
    """Series, points and series by metric, of the provider towards the one origin."""
    data = sdk.reader.get_metrics_data()
    assert data is not None
    series: Counter[str] = Counter()
    points = 0
    for resource in data.resource_metrics:
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                for point in metric.data.data_points:
                    attributes = point.attributes or {}
                    if semconv.PROVIDER_NAME not in attributes:
                        continue
                    if attributes.get(semconv.SERVER_ADDRESS, HOST) != HOST:
                        continue
                    points += 1
                    bounds = getattr(point, "explicit_bounds", None)
                    series[metric.name] += 1 if bounds is None else len(bounds) + 3
    return series.total(), points, dict(series.most_common())


def _main() -> None:
    sdk = Sdk()
    Instrumentation("httpx", sdk).turn(OURS)
    open_pool = _healthy()
    healthy, points, _ = _count(sdk)
    _everything()
    failing, failing_points, by_metric = _count(sdk)
    open_pool.close()
    numbers = {
        "healthy": healthy,
        "healthy points": points,
        "after failures": failing,
        "points after failures": failing_points,
        **{f"after failures: {name}": count for name, count in by_metric.items()},
    }
    print(json.dumps(numbers))


if __name__ == "__main__":
    _main()
