"""Leaks of the SDKs' synchronous clients and of any-llm's sync API."""

import threading
from typing import Any

import anthropic
import openai
import pytest

from gluellm_pools.fake_provider import Behaviour, FakeProvider
from opentelemetry.instrumentation.gluellm import snapshot
from support.providers import STREAM
from support.waiting import wait_until

from . import calls
from .conftest import PROVIDERS
from .reports import call_site

pytestmark = pytest.mark.anyio


def sync_client(provider: str, server: FakeProvider) -> Any:
    """Create the SDK's synchronous client."""
    if provider == "anthropic":
        return anthropic.Anthropic(base_url=server.anthropic_url, api_key="any", max_retries=0)
    return openai.OpenAI(base_url=server.openai_url, api_key="any", max_retries=0)


@PROVIDERS
def test_leak_of_a_sync_client_names_its_call_site(provider, server, instrument, reports):
    """With scope="all", it is the line that sent the request."""
    clock = instrument(scope="all")
    client = sync_client(provider, server)
    held = []

    def abandon() -> None:
        create = (
            client.messages.create if provider == "anthropic" else client.chat.completions.create
        )
        held.append(create(model="sync", **STREAM))  # place: sync
        next(iter(held[0]))

    caller = threading.Thread(target=abandon, name="caller")
    caller.start()
    caller.join()
    clock.advance(20)
    (leak,) = wait_until(reports.leaks, "the leak")
    test = test_leak_of_a_sync_client_names_its_call_site.__name__
    assert leak.call_site == call_site(__file__, "sync", f"{test}.<locals>.abandon")
    held[0].close()
    (over,) = wait_until(reports.over, "its end")
    assert over.how == "its connection was released"
    client.close()


@PROVIDERS
def test_streams_of_any_llms_sync_api_are_no_leaks_but_downloads_can_be(
    provider, server, clock, reports
):
    """any-llm's thread reads a stream into a queue, even if the application doesn't read the queue.

    While the provider is silent, the request is in the phase ``reading``, with its call site. A
    download is read on demand, so it can leak until it is closed.
    """
    server.script(Behaviour(tokens=300), Behaviour(stall_after=1))
    llm = calls.create(provider, server)
    left = llm.completion(model="left", **STREAM)
    next(iter(left))
    wait_until(lambda: server.counts.completed == 1, "its end on the server")
    wait_until(lambda: not calls.phases("left"), "its end")
    silent = llm.completion(model="silent", **STREAM)  # place: silent
    next(iter(silent))
    wait_until(lambda: calls.phases("silent") == ["reading"], "a read")
    (request,) = [request for pool in snapshot().pools for request in pool.requests]
    test = test_streams_of_any_llms_sync_api_are_no_leaks_but_downloads_can_be
    assert request.call_site == call_site(__file__, "silent", test)
    # Larger than all buffers.
    server.replies = {("GET", "/v1/files/f1/content"): b"0" * 1_000_000}
    download = llm.download_file("f1", chunk_size=10)
    next(iter(download.__enter__().chunks))
    # In small steps, since a leak's time begins when the watch first notices the last read.
    (leak,) = wait_until(lambda: clock.advance(1) or reports.leaks(), "the leaked download")
    assert (leak.model, leak.provider) == (None, provider)
    assert leak.pool == f"{provider}/{calls.LIBRARY[provider]}"
    silent.close()
    download.__exit__(None, None, None)
    (over,) = wait_until(reports.over, "its end")
    assert over.how == "its connection was released"
