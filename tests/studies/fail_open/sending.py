"""Requests of every kind for each library, and the outcome of each as text.

Outcomes don't depend on time, so two runs return the same texts.
"""

import asyncio
import contextlib
import importlib
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

Look = Callable[[], None]
"""Collects metrics and takes a snapshot while requests are in flight."""


Servers = SimpleNamespace
"""Where to send requests to: see `servers.served`."""


class Noted(list[str]):
    """Outcomes of requests as texts."""

    def value(self, what: str, found: object) -> None:
        self.append(f"{what}: {found}")

    def several(self, what: str, found: list[Any]) -> None:
        self.value(what, [f if isinstance(f, str) else type(f).__name__ for f in found])

    @contextlib.contextmanager
    def _step(self, what: str) -> Iterator[None]:
        try:
            yield
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:
            code = getattr(error, "code", None)  # of gRPC
            self.value(what, code().name if callable(code) else type(error).__name__)

    def __call__(self, what: str, work: Callable[[], object]) -> None:
        """Run one step, and record its result or its exception."""
        with self._step(what):
            self.value(what, work())

    async def awaited(self, what: str, work: Any) -> None:
        with self._step(what):
            self.value(what, await work)


@contextlib.contextmanager
def _waiting(noted: Noted, work: Callable[[], object], look: Look) -> Iterator[None]:
    """Let a thread wait for a connection, which the block releases."""
    waited = Noted()
    thread = threading.Thread(target=waited, args=("waited", work), daemon=True)
    thread.start()
    until_waiting(thread)
    look()
    yield
    thread.join(5)
    noted += waited  # now, since the thread races with the block


def until_waiting(thread: threading.Thread) -> None:
    """Return when a thread waits for another one, as in a pool's queue, or has ended."""
    deadline = time.monotonic() + 5
    while thread.is_alive() and time.monotonic() < deadline:
        frame = sys._current_frames().get(thread.ident or 0)
        if frame is not None and frame.f_code.co_filename == threading.__file__:
            return
        time.sleep(0.001)


async def until_settled(task: asyncio.Future[Any]) -> None:
    """Return when a task has waited for the same future for a while, or has ended.

    It takes its connection, or its place in the queue, in its first step.
    """
    before, looks = None, 0
    while not task.done() and looks < 3:
        await asyncio.sleep(0.002)
        now = getattr(task, "_fut_waiter", None)
        looks = looks + 1 if now is before else 0
        before = now


# httpcore and httpcore2


def httpcore(core: Any, servers: Servers, look: Look, noted: Noted) -> None:
    with contextlib.suppress(Exception):
        _httpcore_sync(core, servers, look, noted)
    asyncio.run(_httpcore_async(core, servers, look, noted))


def _body(response: Any) -> str:
    return f"{response.status} {response.content!r}"


def _httpcore_sync(core: Any, servers: Servers, look: Look, noted: Noted) -> None:
    def get(url: str, *, of: Any = None, **timeout: float) -> Callable[[], str]:
        return lambda: _body((of or pool).request("GET", url, extensions={"timeout": timeout}))

    def unread() -> int:
        with pool.stream("GET", servers.chunked) as response:
            return int(response.status)

    pool = core.ConnectionPool(max_connections=1)
    noted("first", get(servers.http1))
    noted("again", get(servers.http1))
    held = None
    holding = contextlib.ExitStack()
    with contextlib.suppress(Exception):
        held = holding.enter_context(pool.stream("GET", servers.http1))
        noted("no place", get(servers.http1, pool=0.02))
    with _waiting(noted, get(servers.http1), look):
        if held is not None:
            noted("held", lambda: b"".join(held.iter_stream()))
            noted("closed", holding.close)
    noted("chunks", get(servers.chunked))
    noted("breaks off", get(servers.broken))
    noted("unread", unread)
    noted("late", get(servers.never, read=0.02))
    noted("after", get(servers.http1))
    look()
    noted("pool closed", pool.close)
    with contextlib.suppress(Exception), core.ConnectionPool(http1=False, http2=True) as pool2:
        noted("HTTP/2", get(servers.http2, of=pool2))
        noted("HTTP/2 again", get(servers.http2, of=pool2))
        look()
    with contextlib.suppress(Exception), core.ConnectionPool() as another:
        noted("refused", get(servers.refusing, of=another))
        noted("scheme", get("odd://localhost/", of=another))
    with contextlib.suppress(Exception), core.HTTPProxy(servers.refusing) as proxy:
        noted("proxy", get(servers.http1, of=proxy))


async def _httpcore_async(core: Any, servers: Servers, look: Look, noted: Noted) -> None:
    async def get(pool: Any, url: str, **settings: Any) -> str:
        return _body(await pool.request("GET", url, **settings))

    with contextlib.suppress(Exception):
        async with core.AsyncConnectionPool(max_connections=1) as pool:
            await noted.awaited("async", get(pool, servers.http1))
            both = await asyncio.gather(
                get(pool, servers.http1), get(pool, servers.chunked), return_exceptions=True
            )
            noted.several("two", both)
            given_up = asyncio.ensure_future(get(pool, servers.never))
            await until_settled(given_up)
            look()
            timeout = {"timeout": {"pool": 0.01}}
            await noted.awaited("async no place", get(pool, servers.http1, extensions=timeout))
            given_up.cancel()
            await noted.awaited("cancelled", given_up)
            await noted.awaited("async breaks off", get(pool, servers.broken))
            await noted.awaited("async after", get(pool, servers.http1))
    with contextlib.suppress(Exception):
        async with core.AsyncConnectionPool(http1=False, http2=True) as pool:
            several = [get(pool, servers.http2) for _ in range(3)]
            found = await asyncio.gather(*several, return_exceptions=True)
            noted.several("streams", found)
            look()


# aiohttp


def aiohttp(library: Any, servers: Servers, look: Look, noted: Noted) -> None:
    async def get(session: Any, url: str, **timeouts: float) -> str:
        timeout = library.ClientTimeout(**timeouts)
        async with session.get(url, timeout=timeout) as response:
            return f"{response.status} {await response.read()!r}"

    async def send() -> None:
        connector = library.TCPConnector(limit=1)
        async with library.ClientSession(connector=connector) as session:
            await noted.awaited("first", get(session, servers.http1))
            await noted.awaited("again", get(session, servers.http1))
            holder = asyncio.ensure_future(get(session, servers.late))
            await asyncio.sleep(0)  # it takes its connection in its first step
            await noted.awaited("no place", get(session, servers.http1, connect=0.01))
            waiter = asyncio.ensure_future(get(session, servers.http1))
            await until_settled(waiter)
            look()
            await noted.awaited("held", holder)
            await noted.awaited("waited", waiter)
            await noted.awaited("late", get(session, servers.never, total=0.03))
            await noted.awaited("chunks", get(session, servers.chunked))
            await noted.awaited("breaks off", get(session, servers.broken))

            async def unread() -> str:
                async with session.get(servers.chunked) as response:
                    return str(response.status)

            await noted.awaited("unread", unread())
            given_up = asyncio.ensure_future(get(session, servers.never))
            await until_settled(given_up)
            given_up.cancel()
            await noted.awaited("cancelled", given_up)
            await noted.awaited("after", get(session, servers.http1))
        connector = library.TCPConnector(keepalive_timeout=0.02)
        async with library.ClientSession(connector=connector) as session:
            await noted.awaited("before it expires", get(session, servers.http1))
            # The connector closes an expired connection at its second check at the latest, and a
            # loop's timers fire in order.
            await asyncio.sleep(0.05)
            look()
            await noted.awaited("expired", get(session, servers.http1))
        async with library.ClientSession() as session:
            await noted.awaited("refused", get(session, servers.refusing))
            await noted.awaited("two", get(session, servers.http1))

    async def in_first_loop() -> Any:
        session = library.ClientSession()
        await noted.awaited("first loop", get(session, servers.http1))
        return session

    async def in_second_loop(session: Any) -> None:
        await noted.awaited("second loop", get(session, servers.http1, total=5))
        await session.close()

    with contextlib.suppress(Exception):
        asyncio.run(send())
        asyncio.run(in_second_loop(asyncio.run(in_first_loop())))


# urllib3


def urllib3(library: Any, servers: Servers, look: Look, noted: Noted) -> None:
    def opened(url: str, **settings: Any) -> Any:
        return manager.request("GET", url, preload_content=False, retries=False, **settings)

    def get(url: str, **settings: Any) -> Callable[[], str]:
        def read() -> str:
            response = opened(url, **settings)
            data = response.read()
            response.release_conn()
            return f"{response.status} {data!r}"

        return read

    def unread() -> int:
        response = manager.request("GET", servers.chunked, preload_content=False)
        response.close()
        response.release_conn()
        return int(response.status)

    def preloaded(url: str) -> Callable[[], str]:
        return lambda: repr(manager.request("GET", url, retries=False).data)

    with contextlib.suppress(Exception):
        manager = library.PoolManager(maxsize=1, block=True)
        noted("first", get(servers.http1))
        noted("preloaded", preloaded(servers.http1))
        held = None
        with contextlib.suppress(Exception):
            held = opened(servers.http1)
            noted("no place", get(servers.http1, pool_timeout=0.01))
        with _waiting(noted, preloaded(servers.http1), look):
            if held is not None:
                noted("held", held.read)
                noted("given back", held.release_conn)
        noted("chunks", get(servers.chunked))
        noted("streamed", lambda: list(opened(servers.chunked).stream(2)))
        noted("breaks off", get(servers.broken))
        noted("preloaded breaks off", preloaded(servers.broken))
        noted("late", get(servers.never, timeout=0.03))
        noted("unread", unread)
        noted("after", get(servers.http1))
        look()
        noted("cleared", manager.clear)
    with contextlib.suppress(Exception):
        manager = library.PoolManager()
        noted("refused", preloaded(servers.refusing))
        noted("two", preloaded(servers.http1))
        with ThreadPoolExecutor(2) as executor:
            noted("in an executor", executor.submit(preloaded(servers.http1)).result)
            look()
        manager.clear()
    with contextlib.suppress(Exception):
        manager = library.ProxyManager(servers.refusing)
        noted("proxy", preloaded("https://api.test/"))
        noted("forwarding proxy", preloaded("http://api.test/"))
        manager.clear()
        manager = library.ProxyManager(servers.http1)
        noted("through a forwarding proxy", preloaded("http://api.test/"))
        manager.clear()


# gRPC


def grpc(library: Any, servers: Servers, look: Look, noted: Noted) -> None:
    with contextlib.suppress(Exception):
        importlib.import_module("grpc.aio")
    with contextlib.suppress(Exception), library.insecure_channel(servers.grpc) as channel:
        noted("unary", lambda: channel.unary_unary("/")(b"", wait_for_ready=True))
        noted("future", lambda: channel.unary_unary("/").future(b"").result())
        noted("stream", lambda: list(channel.unary_stream("/")(b"")))
        noted("client stream", lambda: channel.stream_unary("/")(iter([b""])))
        noted("both", lambda: list(channel.stream_stream("/")(iter([b""]))))

        def cancelled() -> object:
            stream = channel.unary_stream("/")(b"")
            stream.initial_metadata()
            return stream.cancel()

        noted("cancelled", cancelled)
        noted("late", lambda: channel.unary_unary("/late")(b"", timeout=0.02))
        noted("wrong", lambda: channel.unary_unary("/")(b"", surplus=1))
        look()
    with contextlib.suppress(Exception), library.insecure_channel(servers.refusing) as channel:
        noted("refused", lambda: channel.unary_unary("/")(b""))

    async def messages(channel: Any) -> list[object]:
        return [message async for message in channel.unary_stream("/")(b"")]

    async def read_by_read(channel: Any) -> list[object]:
        call = channel.unary_stream("/")(b"")
        return [await call.read(), await call.read() is library.aio.EOF]

    async def given_up(channel: Any) -> object:
        stream = channel.unary_stream("/")(b"")
        await stream.initial_metadata()
        return stream.cancel()

    async def send() -> None:
        async with library.aio.insecure_channel(servers.grpc) as channel:
            unary = channel.unary_unary("/")(b"", wait_for_ready=True, timeout=5)
            await noted.awaited("async", unary)
            await noted.awaited("async stream", messages(channel))
            await noted.awaited("async reads", read_by_read(channel))
            await noted.awaited("async cancelled", given_up(channel))
            late = channel.unary_unary("/late")(b"", timeout=0.02)
            await noted.awaited("async late", late)
            look()
        async with library.aio.insecure_channel(servers.refusing) as channel:
            await noted.awaited("async refused", channel.unary_unary("/")(b""))

    with contextlib.suppress(Exception):
        asyncio.run(send())


_SENDERS = {each.__name__: each for each in (httpcore, aiohttp, urllib3, grpc)}


def send(name: str, servers: Servers, look: Look = lambda: None) -> list[str]:
    """Send the requests of a library, and return the outcome of each."""
    noted = Noted()
    _SENDERS[name.removesuffix("2")](importlib.import_module(name), servers, look, noted)
    return list(noted)
