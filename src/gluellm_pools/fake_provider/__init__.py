"""A fake LLM provider on loopback: the OpenAI and Anthropic chat APIs with scripted behaviour.

h11 and h2 parse HTTP; the rest is what no server library does: resets, cut bodies, stream limits,
one behaviour per request. Tests and the demo use it::

    slow = Behaviour(head_delay=0.2, tokens=20, token_rate=50)
    async with FakeProvider(behaviour=slow) as provider:
        client = AsyncOpenAI(base_url=provider.openai_url, api_key="any")
        ...
        provider.behaviour = Behaviour(status=429)
        provider.script(Behaviour(reset_after=3), Behaviour(head_delay=math.inf))
        assert provider.counts.requests == 3

``FakeProvider(http2=True, max_streams=4)`` speaks HTTP/2 without TLS, to clients that know it
beforehand: ``httpx2.AsyncClient(http1=False, http2=True)``, passed to the SDK or to any-llm as
``http_client``.

`FakeProviderThread` runs in a thread with its own event loop, for synchronous tests and for clients
whose blocked loop must not slow the provider down.
"""

from .behaviour import Behaviour as Behaviour
from .behaviour import Counts as Counts
from .behaviour import RateLimit as RateLimit
from .behaviour import ReceivedRequest as ReceivedRequest
from .server import FakeProvider as FakeProvider
from .server import FakeProviderThread as FakeProviderThread
