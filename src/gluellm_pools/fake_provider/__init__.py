"""A fake LLM provider on loopback: the OpenAI and Anthropic chat APIs with scripted behaviour.

Standard library only (but for HTTP/2, which needs h2), so that tests and the demo can run it
anywhere::

    slow = Behaviour(head_delay=0.2, tokens=20, token_rate=50)
    async with FakeProvider(behaviour=slow) as provider:
        client = AsyncOpenAI(base_url=provider.openai_url, api_key="any")
        ...
        provider.behaviour = Behaviour(status=429)
        provider.script(Behaviour(reset_after=3), Behaviour(head_delay=math.inf))
        assert provider.counts.requests == 3

``FakeProvider(http2=True, max_streams=4)`` speaks HTTP/2 without TLS, to clients that know it
beforehand: ``httpx2.AsyncClient(http1=False, http2=True)``, handed to the SDK or to any-llm as
``http_client``.

`FakeProviderThread` is the same behind a thread with its own event loop, for synchronous tests and
for clients whose blocked loop must not slow the provider down.
"""

from .behaviour import Behaviour, Counts, ReceivedRequest
from .server import FakeProvider, PortInUseError
from .thread import FakeProviderThread

__all__ = [
    "Behaviour",
    "Counts",
    "FakeProvider",
    "FakeProviderThread",
    "PortInUseError",
    "ReceivedRequest",
]
