"""The process itself: event loops and processor time."""

import asyncio
import hashlib
import time

from studies.late_loops import CGROUPS, enter, limit, own_cgroup

from ..app import OPENAI, App, ask


async def blocked_loop(app: App) -> None:
    """A release renders pages in the event loop, half a second each."""
    client = app.any_llm(OPENAI, app.serve().openai_url)
    app.arrivals(3, ask(client, stream=True))
    await app.goes_wrong()

    async def render_page() -> None:
        until = time.monotonic() + 0.6
        while time.monotonic() < until:
            hashlib.sha256(b"page").hexdigest()

    app.callers(1, render_page, (0.4, 0.9))


async def throttled(app: App) -> None:
    """The container's CPU limit is lowered below what the service needs, so that it is throttled.
    Needs root."""
    client = app.sdk(OPENAI, app.serve().openai_url)
    app.arrivals(6, ask(client, stream=True))
    try:
        await app.goes_wrong()
        limit(own_cgroup(), 14_000, 400_000)  # 3.5 % of a CPU
        await asyncio.Event().wait()
    finally:
        if own_cgroup().exists():
            enter(CGROUPS)
            own_cgroup().rmdir()


async def client_on_second_loop(app: App) -> None:
    """A background job of worker threads calls the service's async client with ``asyncio.run``: a
    new event loop each time, while the connections belong to another one."""
    url = app.serve().openai_url
    app.arrivals(1, ask(app.any_llm(OPENAI, url, max_retries=0)))
    await app.goes_wrong()
    shared = app.any_llm(OPENAI, url, max_retries=0)
    for _ in range(2):
        app.thread(lambda: asyncio.run(ask(shared)()), 0.3)
