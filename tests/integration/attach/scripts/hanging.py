"""Two requests wait for an answer that never comes, and two for a connection. Knows no package."""

import asyncio
import sys
import threading

how, url = sys.argv[1:]


def in_threads(send):
    for _ in range(4):
        threading.Thread(target=send, daemon=True).start()
    print("ready", flush=True)
    sys.stdin.read()


async def in_tasks(send):
    tasks = [asyncio.create_task(send()) for _ in range(4)]
    print("ready", flush=True)
    await asyncio.gather(*tasks)


async def with_async_client(library):
    limits = library.Limits(max_connections=2)
    client = library.AsyncClient(limits=limits, timeout=None)

    async def call():
        await client.get(url)

    await in_tasks(call)


async def with_unread_streams():
    import httpx2

    timeout = httpx2.Timeout(None, pool=600)
    client = httpx2.AsyncClient(limits=httpx2.Limits(max_connections=2), timeout=timeout)
    kept = []

    async def call():
        kept.append(await client.send(client.build_request("GET", url), stream=True))

    await in_tasks(call)


async def with_session():
    import aiohttp

    session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=2))

    async def call():
        async with session.get(url):
            pass

    await in_tasks(call)


async def with_semaphore():
    semaphore = asyncio.Semaphore(0)

    async def call():
        async with semaphore:
            pass

    await in_tasks(call)


def compute():
    print("ready", flush=True)
    while True:
        pass


async def blocked():
    compute()


if how == "httpx":
    import httpx

    asyncio.run(with_async_client(httpx))
elif how == "httpx2 on uvloop":
    import httpx2
    import uvloop

    uvloop.run(with_async_client(httpx2))
elif how == "httpx in threads":
    import httpx

    client = httpx.Client(limits=httpx.Limits(max_connections=2), timeout=None)

    def call():
        list(map(client.get, [url]))  # C code calls the library

    in_threads(call)
elif how == "httpx in the main thread":
    import httpx

    print("ready", flush=True)
    print(httpx.get(url, timeout=60).text)
elif how == "urllib3":
    import urllib3

    manager = urllib3.PoolManager(maxsize=2, block=True)

    def call():
        manager.request("GET", url)

    in_threads(call)
elif how in ("audit hook", "without wrapt"):

    def refuse(event, _):
        if event == "cpython.remote_debugger_script":
            raise RuntimeError

    if how == "audit hook":
        sys.addaudithook(refuse)
    else:
        sys.modules["wrapt"] = None
    asyncio.run(with_unread_streams())
elif how == "future":
    import queue
    from concurrent.futures import Future

    threading.Thread(target=queue.Queue().get, daemon=True).start()
    print("ready", flush=True)
    Future().result()
elif how == "lock":
    lock = threading.Lock()
    lock.acquire()

    def call():
        lock.acquire()

    threading.Thread(target=call, daemon=True).start()
    print("ready", flush=True)
    call()
elif how == "idle":
    print("ready", flush=True)
    sys.stdin.read()
else:
    kinds = {
        "aiohttp": with_session,
        "unread": with_unread_streams,
        "semaphore": with_semaphore,
        "blocked": blocked,
    }
    asyncio.run(kinds[how]())
