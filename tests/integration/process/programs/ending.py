"""Ends in one of many ways while requests are under way, with or without the instrumentation.

Arguments: a URL that answers at once, one that begins to answer and never ends. Reads a way and a
library from each line of stdin. Forks two children for it, which find everything imported: one
without the instrumentation, and one with it. Writes how each has ended as JSON.
"""

import asyncio
import atexit
import faulthandler
import gc
import importlib
import json
import logging
import os
import signal
import sys
import threading
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor

url, never = sys.argv[1:]
switch = way = library = ""
kept: list[Any] = []
"""What a program keeps in a module."""
begun = threading.Event()
# A machine that has much to do makes callbacks slow, and asyncio's debug mode tells of that.
logging.getLogger("asyncio").setLevel(logging.ERROR)
for module in ("httpx", "httpx2", "aiohttp", "urllib3", "trio"):
    importlib.import_module(module)


def uninstrument() -> None:
    """Once, where it is on."""
    if GlueLLMInstrumentor().is_instrumented_by_opentelemetry:
        GlueLLMInstrumentor().uninstrument()


def sync_client() -> tuple[Any, Callable[[str], Any]]:
    """A client, and a function that makes a request with it."""
    module = importlib.import_module(library)
    if library == "urllib3":
        manager = module.PoolManager(retries=False)
        return manager, lambda target: manager.request("GET", target, preload_content=False)
    client = module.Client(trust_env=False, timeout=None)
    return client, lambda target: client.send(client.build_request("GET", target), stream=True)


def get(target: str) -> None:
    """One whole request with a client that stays in the module."""
    client, send = sync_client()
    kept.append(client)
    response = send(target)
    begun.set()
    _ = response.read()
    response.close()


async def aget(target: str) -> None:
    """The same on an event loop."""
    module = importlib.import_module(library)
    if library == "aiohttp":
        async with module.ClientSession() as session, session.get(target) as answer:
            begun.set()
            await answer.read()
    else:
        async with (
            module.AsyncClient(trust_env=False, timeout=None) as client,
            client.stream("GET", target) as answer,
        ):
            begun.set()
            await answer.aread()


def reads(ident: int) -> None:
    """Wait until a thread reads an answer from its socket, or has ended."""
    begun.wait()
    before, looks = None, 0
    while (frame := sys._current_frames().get(ident)) is not None and looks < _LOOKS:
        code, place = frame.f_code, (id(frame), frame.f_lasti)
        waits = code.co_name in {"read", "readinto"} and code.co_filename.endswith(_READERS)
        looks = looks + 1 if waits and place == before else 0
        before = place
        time.sleep(0.002)


_LOOKS = 10
"""At the same place: who is not in a system call there would have gone on meanwhile."""
_READERS = ("socket.py", "sync.py")
"""The standard library's and httpcore's: nothing of theirs is beneath them."""


def in_thread(target: str, *, daemon: bool) -> None:
    """A request under way in a thread."""
    thread = threading.Thread(target=get, args=(target,), daemon=daemon)
    thread.start()
    assert thread.ident is not None
    reads(thread.ident)


async def has_begun() -> None:
    # Whoever sets it runs on until it waits for more of the answer, before anybody else has a turn.
    while not begun.is_set():
        await asyncio.sleep(0.01)


def daemon_thread() -> None:
    in_thread(never, daemon=True)


def traced() -> None:
    in_thread(never, daemon=True)


def thread() -> None:
    in_thread(url, daemon=False)


def pending_task() -> None:
    async def main() -> None:
        kept.append(asyncio.ensure_future(aget(never)))
        await has_begun()

    asyncio.run(main())


def abandoned_loop() -> None:
    async def begin() -> None:
        kept.append(asyncio.ensure_future(aget(never)))
        await has_begun()

    loop = asyncio.new_event_loop()
    kept.append(loop)
    loop.run_until_complete(begin())


def ctrl_c_in_loop() -> None:
    async def main() -> None:
        interrupting = asyncio.ensure_future(interrupt())
        kept.append(interrupting)
        await aget(never)

    async def interrupt() -> None:
        await has_begun()
        signal.raise_signal(signal.SIGINT)

    asyncio.run(main())


def ctrl_c() -> None:
    main = threading.main_thread().ident
    assert main is not None
    interrupted = threading.Event()

    def interrupt() -> None:
        reads(main)
        signal.pthread_kill(main, signal.SIGINT)
        # One that came right before the system call does not end that.
        while not interrupted.wait(2.0):
            reads(main)
            signal.pthread_kill(main, signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    try:
        get(never)
    finally:
        interrupted.set()


def trio_cancelled() -> None:
    trio = importlib.import_module("trio")

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(aget, never)
            while not begun.is_set():
                await trio.sleep(0.01)
            nursery.cancel_scope.cancel()

    trio.run(main)


def stream_never_closed() -> None:
    client, send = sync_client()
    kept.extend((client, send(url)))


def async_generator_never_closed() -> None:
    async def main() -> None:
        module = importlib.import_module(library)
        client = module.AsyncClient(trust_env=False, timeout=None)
        response = await client.send(client.build_request("GET", url), stream=True)
        chunks = response.aiter_raw()
        await anext(chunks)
        kept.extend((client, response, chunks))

    asyncio.run(main())


def session_never_closed() -> None:
    async def main() -> None:
        session = importlib.import_module("aiohttp").ClientSession()
        await (await session.get(url)).read()
        kept.append(session)

    asyncio.run(main())


def client_never_closed() -> None:
    get(url)


def client_in_a_cycle() -> None:
    client, send = sync_client()
    cycle: list[Any] = [client, send(url)]
    cycle.append(cycle)


def request_in_atexit() -> None:
    atexit.register(get, url)
    get(url)


def uninstrument_in_atexit() -> None:
    atexit.register(uninstrument)
    in_thread(never, daemon=True)


def exit_in_a_hook() -> None:
    module = importlib.import_module(library)

    def leave(_response: Any) -> None:
        sys.exit(3)

    client = module.Client(trust_env=False, event_hooks={"response": [leave]})
    kept.append(client)
    client.get(url)


def at_once() -> None:
    in_thread(never, daemon=True)
    os._exit(4)


def sdk_ended_before() -> None:
    get(url)
    provider.shutdown()
    get(url)


def raises() -> None:
    client, send = sync_client()
    kept.extend((client, send(url)))
    raise ValueError("the application's own")


def channel_never_closed() -> None:
    grpc = importlib.import_module("grpc")
    channel = grpc.insecure_channel(url.removeprefix("http://").rstrip("/"))
    connects = threading.Event()

    def told(state: Any) -> None:
        if state is not grpc.ChannelConnectivity.IDLE:
            connects.set()

    channel.subscribe(told)
    call = channel.unary_unary("/").future(b"", wait_for_ready=True)
    connects.wait()
    channel.unsubscribe(told)
    kept.extend((channel, call))


def fork() -> tuple[int, list[int]]:
    """A child, 0 within it, and what its output and its errors are read from."""
    pipes = [os.pipe() for _ in range(2)]
    process = os.fork()
    for number, (reader, writer) in enumerate(pipes, start=1):
        if process == 0:
            os.dup2(writer, number)
            os.close(reader)
        os.close(writer)
    return process, [reader for reader, _ in pipes]


def read(reader: int) -> str:
    """All that was written, until the other end is closed."""
    text = b""
    while part := os.read(reader, 65536):
        text += part
    os.close(reader)
    return text.decode()


gc.collect()
gc.freeze()  # or the end of each child passes over all that was imported
for line in sys.stdin:
    way, library = line.split()
    children = []
    for switch in ("off", "on"):  # noqa: B007
        children.append(fork())
        if children[-1][0] == 0:
            break
    else:
        ended = []
        for process, readers in children:
            out, err = map(read, readers)
            ended.append((os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), out, err))
        print(json.dumps(ended), flush=True)
        continue
    break
else:
    sys.exit()
# In a child, whose end is the interpreter's.
children.clear()
faulthandler.dump_traceback_later(60, exit=True)
importlib.import_module(library)
if way == "traced":
    tracemalloc.start()
if way == "uninstrument_in_atexit":
    # Both orders: what is registered last runs first, and the SDK's own shutdown is one of them.
    atexit.register(uninstrument)
provider = MeterProvider(metric_readers=[InMemoryMetricReader()])
if switch == "on":
    GlueLLMInstrumentor().instrument(scope="all", meter_provider=provider)
globals()[way]()
if way == "client_in_a_cycle":
    gc.freeze()  # nobody collects it before the interpreter ends
