"""Every public way of any-llm to send a request, by origin of the client: whose it is."""

import asyncio
import inspect
from collections.abc import AsyncIterator
from typing import Any

import any_llm
import pytest
from any_llm.utils.aio import run_async_in_sync

from opentelemetry.instrumentation.gluellm.attribution.context import current_call
from opentelemetry.instrumentation.gluellm.cli.fake_provider import FakeProvider

from . import providers
from .providers import Probe
from .recipes import MODEL, Row, rows, unknown


def test_every_public_function_and_method_has_a_row():
    """A name that any-llm adds is seen here first."""
    assert unknown() == set()


@pytest.mark.parametrize("row", list(rows()), ids=str)
def test_request_is_attributed(
    row, attribution, errors, probe, provider_server, monkeypatch, tmp_path
):
    """Provider, model and operation are known at the pool, and nowhere after the call."""
    providers.register_reranker(monkeypatch)
    handed_in = providers.http_client(row.provider) if row.origin == "handed in" else None
    early = None
    if row.origin == "created early":
        early = providers.create(row.provider, provider_server)
    attribution.install()
    keywords = row.recipe.keywords(tmp_path)
    if row.streaming:
        keywords["stream"] = True
    call = _target(row, early, handed_in, provider_server, keywords)

    if row.asynchronous:
        asyncio.run(_consume_async(call, keywords, probe))
    else:
        _consume(call, keywords)
        run_async_in_sync(probe.close())

    model = MODEL if row.recipe.has_model else None
    claim = (row.provider, model, row.recipe.operation)
    assert probe.requests
    assert probe.claims == [claim] * len(probe.requests)
    calls = {seen.call for seen in probe.requests}
    assert len(calls) == 1, "all requests of one call are its own"
    assert all(call is not None and call.ended for call in calls)
    assert (
        _builder(row, probe)
        == {
            "created early": None,
            "handed in": None,
            "created late": (row.provider, None),
            "per call": (row.provider, None),
            "at the first call": (row.provider, row.recipe.operation),
        }[row.origin]
    )
    assert current_call.get() is None
    assert errors == []


def _builder(row: Row, probe: Probe) -> tuple[str, str | None] | None:
    """Who built the pool in use: the last of them, if any was built for this row."""
    call = probe.builders[-1]
    return None if call is None else (call.provider, call.operation)


def _target(
    row: Row, early: Any, handed_in: Any, server: FakeProvider, keywords: dict[str, Any]
) -> Any:
    """The function or the bound method to call."""
    if row.function:
        keywords["provider"] = row.provider
        keywords.update(providers.arguments(row.provider, server))
        if handed_in is not None:
            keywords["client_args"] = {"http_client": handed_in}
        return getattr(any_llm, row.name)
    if row.origin == "created early":
        instance = early
    elif row.origin == "created late":
        instance = providers.create(row.provider, server)
    elif row.origin == "handed in":
        instance = providers.create(row.provider, server, http_client=handed_in)
    else:
        instance = providers.create_lazy(row.provider, server)
    return getattr(instance, row.name)


async def _consume_async(call: Any, keywords: dict[str, Any], probe: Probe) -> None:
    if call.__name__ == "adownload_file":
        async with call(**keywords) as download:
            assert current_call.get() is None
            await _read(download)
    else:
        result = await call(**keywords)
        assert current_call.get() is None
        if keywords.get("stream"):
            await _read(result)
    await probe.close()


async def _read(stream: AsyncIterator[Any]) -> None:
    count = 0
    async for _ in stream:
        count += 1
        assert current_call.get() is None, "the consumer of a stream sees nothing of the call"
    assert count


def _consume(call: Any, keywords: dict[str, Any]) -> None:
    result = call(**keywords)
    if inspect.ismethod(call) and call.__name__ == "download_file":
        with result as download:
            assert b"".join(download)
    elif keywords.get("stream"):
        count = 0
        for _ in result:
            count += 1
            assert current_call.get() is None
        assert count
