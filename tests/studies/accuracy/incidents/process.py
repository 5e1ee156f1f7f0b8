"""The process itself: event loops and processor time."""

import asyncio
import contextlib
import hashlib
import os
import time
from collections.abc import Iterator

from studies.late_loops import CGROUPS, limit

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
    await app.goes_wrong()
    with _throttled():
        await asyncio.Event().wait()


@contextlib.contextmanager
def _throttled() -> Iterator[None]:
    """A control group with 3.5 % of a CPU."""
    group = CGROUPS / f"incident-{os.getpid()}"
    group.mkdir()
    (group / "cgroup.procs").write_text(str(os.getpid()))
    limit(group, 14_000, 400_000)
    try:
        yield
    finally:
        (CGROUPS / "cgroup.procs").write_text(str(os.getpid()))
        group.rmdir()


async def client_on_second_loop(app: App) -> None:
    """A background job of worker threads calls the service's async client with ``asyncio.run``: a
    new event loop each time, while the connections belong to another one."""
    url = app.serve().openai_url
    app.arrivals(1, ask(app.any_llm(OPENAI, url, max_retries=0)))
    await app.goes_wrong()
    shared = app.any_llm(OPENAI, url, max_retries=0)
    for _ in range(2):
        app.thread(lambda: asyncio.run(ask(shared)()), 0.3)
