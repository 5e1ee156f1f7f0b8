"""The note that is added to a PoolTimeout."""

import logging
import re
import traceback
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import anthropic
import openai
import pytest

from gluellm_pools.fake_provider import FakeProvider
from support.providers import CHAT, STREAM

from . import calls
from .conftest import PROVIDERS
from .reports import call_site

pytestmark = pytest.mark.anyio
SDK: dict[str, ModuleType] = {"openai": openai, "anthropic": anthropic}
WAIT = 0.2


def create(provider: str, server: FakeProvider, **more: Any) -> Any:
    """Create a provider's instance with a pool of two connections and a short pool timeout."""
    timeout = calls.library(provider).Timeout(30, pool=WAIT)
    more = {"max_retries": 0, "timeout": timeout, **more}
    return calls.create(provider, server, connections=2, **more)


async def never_iterated(llm: Any) -> None:
    """Start a stream without reading it. openai sends its request at once, anthropic doesn't."""
    await llm.acompletion(model="left", **STREAM)  # place: openai


async def left(llm: Any) -> Any:
    """Start a stream and read one token."""
    stream = await llm.acompletion(model="left", **STREAM)  # place: anthropic
    await anext(aiter(stream))
    return stream


async def fill(provider: str, llm: Any) -> list[Any]:
    """Hold both connections with unread streams."""
    leave = never_iterated if provider == "openai" else left
    return [await leave(llm) for _ in range(2)]


def chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception and its causes."""
    found: BaseException | None = error
    while found is not None:
        yield found
        found = found.__cause__ or found.__context__


def notes(error: BaseException) -> list[str]:
    """Return the notes of an exception and its causes."""
    return [note for link in chain(error) for note in getattr(link, "__notes__", ())]


async def time_out(provider: str, llm: Any) -> Any:
    """Make a call that fails with the SDK's timeout error. Log and return the error."""
    try:
        await llm.acompletion(model="waiting", **CHAT)
    except SDK[provider].APITimeoutError as error:
        logging.getLogger("application").exception("the call failed")
        return error
    raise AssertionError("no timeout")


@PROVIDERS
async def test_note_is_kept_by_the_sdks_error_and_printed_once(provider, server, clock, caplog):
    """Two unread streams on a pool of two make the next call time out."""
    llm = create(provider, server)
    held = await fill(provider, llm)
    error = await time_out(provider, llm)
    held.clear()
    await llm.client.close()
    core = "httpcore2" if calls.LIBRARY[provider] == "httpx2" else "httpcore"
    kinds = [
        f"{type(link).__module__.partition('.')[0]}.{type(link).__name__}" for link in chain(error)
    ]
    assert kinds[:3] == [
        f"{provider}.APITimeoutError",
        f"{calls.LIBRARY[provider]}.PoolTimeout",
        f"{core}.PoolTimeout",
    ]
    (note,) = notes(error)
    pool = f"{provider}/{calls.LIBRARY[provider]}"
    assert note.startswith(f"Connection pool {pool}: max 2, active 2, idle 0, connecting 0, queued")
    where = call_site(__file__, provider, never_iterated if provider == "openai" else left)
    holder = (
        rf"[\d.]+ s, unread for [\d.]+ s, provider {provider}, model left, at {re.escape(where)}"
    )
    assert re.search(rf"; longest holders: \(1\) {holder}; \(2\) {holder}\.$", note)
    assert "".join(traceback.format_exception(error)).count(note) == 1
    (record,) = [record for record in caplog.records if record.name == "application"]
    logged = logging.Formatter().format(record)
    assert logged.startswith("the call failed")
    assert logged.count(note) == 1
    assert logged.count("Connection pool ") == 1
