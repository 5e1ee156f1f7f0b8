"""End in one of many ways while requests are in flight, with and without the instrumentation.

Arguments: a URL that answers at once, and one that begins to answer but never ends. Each line of
stdin is a way and a library. For each, it forks two children, one without the instrumentation and
one with it, and prints their statuses and output as JSON. Children need not import anything.
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
"""Objects that the program keeps in a module."""
begun = threading.Event()
# On a busy machine, asyncio's debug mode logs slow callbacks.
logging.getLogger("asyncio").setLevel(logging.ERROR)
for module in ("httpx", "httpx2", "aiohttp", "urllib3", "trio"):
    importlib.import_module(module)


def uninstrument() -> None:
    """Uninstrument if it is instrumented."""
    if GlueLLMInstrumentor().is_instrumented_by_opentelemetry:
        GlueLLMInstrumentor().uninstrument()


def sync_client() -> tuple[Any, Callable[[str], Any]]:
    """Return a client, and a function that sends a request with it."""
    module = importlib.import_module(library)
    if library == "urllib3":
        manager = module.PoolManager(retries=False)
        return manager, lambda target: manager.request("GET", target, preload_content=False)
    client = module.Client(trust_env=False, timeout=None)
    return client, lambda target: client.send(client.build_request("GET", target), stream=True)


def get(target: str) -> None:
    """Make a complete request with a client that the module keeps."""
    client, send = sync_client()
    kept.append(client)
    response = send(target)
    begun.set()
    _ = response.read()
    response.close()


async def aget(target: str) -> None:
    """Make a complete request on an event loop."""
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


def wait_for_read(ident: int) -> None:
    """Wait until a thread is reading a response from its socket, or has ended."""
    begun.wait()
    before, looks = None, 0
    while (frame := sys._current_frames().get(ident)) is not None and looks < _LOOKS:
        code, place = frame.f_code, (id(frame), frame.f_lasti)
        waits = code.co_name in {"read", "readinto"} and code.co_filename.endswith(_READERS)
        looks = looks + 1 if waits and place == before else 0
        before = place
        time.sleep(0.002)


_LOOKS = 10
"""Number of looks at the same instruction that show that the thread is blocked in a system call."""
_READERS = ("socket.py", "sync.py")
"""Innermost files of the standard library and of httpcore."""


def in_thread(target: str, *, daemon: bool) -> None:
    """Start a request in a thread, and wait until it wait_for_read the response."""
    thread = threading.Thread(target=get, args=(target,), daemon=daemon)
    thread.start()
    assert thread.ident is not None
    wait_for_read(thread.ident)


async def has_begun() -> None:
    # The task that sets it continues until it waits for more data; only then, this one runs.
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
        wait_for_read(main)
        signal.pthread_kill(main, signal.SIGINT)
        # A signal that arrives right before the system call does not interrupt it.
        while not interrupted.wait(2.0):
            wait_for_read(main)
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

    def on_change(state: Any) -> None:
        if state is not grpc.ChannelConnectivity.IDLE:
            connects.set()

    channel.subscribe(on_change)
    call = channel.unary_unary("/").future(b"", wait_for_ready=True)
    connects.wait()
    channel.unsubscribe(on_change)
    kept.extend((channel, call))


def fork() -> tuple[int, list[int]]:
    """Fork. Return the child's id (0 in the child), and descriptors to read stdout and stderr."""
    pipes = [os.pipe() for _ in range(2)]
    process = os.fork()
    for number, (reader, writer) in enumerate(pipes, start=1):
        if process == 0:
            os.dup2(writer, number)
            os.close(reader)
        os.close(writer)
    return process, [reader for reader, _ in pipes]


def read(reader: int) -> str:
    """Read until the other end is closed."""
    text = b""
    while part := os.read(reader, 65536):
        text += part
    os.close(reader)
    return text.decode()


gc.collect()
gc.freeze()  # else the end of each child traverses all imported modules
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
# This is a child. It ends with the interpreter's normal exit.
children.clear()
faulthandler.dump_traceback_later(60, exit=True)
importlib.import_module(library)
if way == "traced":
    tracemalloc.start()
if way == "uninstrument_in_atexit":
    # This one runs after the SDK's shutdown, and the one that the way registers runs before it.
    atexit.register(uninstrument)
provider = MeterProvider(metric_readers=[InMemoryMetricReader()])
if switch == "on":
    GlueLLMInstrumentor().instrument(scope="all", meter_provider=provider)
globals()[way]()
if way == "client_in_a_cycle":
    gc.freeze()  # prevent its collection before the interpreter ends
