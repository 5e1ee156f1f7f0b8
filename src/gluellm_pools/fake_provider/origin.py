"""What a fake provider answers with: its settings, its script and its counts."""

from __future__ import annotations

import math
import ssl
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from . import anthropic_api, openai_api
from .behaviour import Behaviour, Counts, ReceivedRequest
from .messages import Answer, ApiRequest, Whole, whole

_REMEMBERED = 10_000
_HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Order:
    """A request that arrived: what to answer, and how."""

    answer: Answer
    behaviour: Behaviour
    reused: bool
    """Whether its connection had carried a request before."""


@dataclass(kw_only=True, eq=False)
class Origin:
    """Every attribute may be changed at any time, from any thread."""

    port: int = 0
    """0 takes any free port."""
    behaviour: Behaviour | Callable[[ReceivedRequest], Behaviour] = field(default_factory=Behaviour)
    """A function of the request runs in the provider's event loop."""
    ssl_context: ssl.SSLContext | None = None
    idle_timeout: float = math.inf
    """Seconds after which an idle connection is closed; HTTP/1.1 only."""
    replies: dict[tuple[str, str], object] = field(default_factory=dict)
    """Bodies of further endpoints by method and path: bytes, or a value for JSON."""
    http2: bool = False
    """Speak HTTP/2 only, to clients that know it beforehand ("prior knowledge")."""
    max_streams: int = 100
    """HTTP/2 streams that a client may open at once on a connection; read by new connections."""
    counts: Counts = field(default_factory=Counts, init=False)
    requests: deque[ReceivedRequest] = field(
        default_factory=lambda: deque(maxlen=_REMEMBERED), init=False
    )
    """The last requests, oldest first."""
    _script: deque[Behaviour] = field(default_factory=deque, init=False)

    @property
    def host(self) -> str:
        return _HOST

    @property
    def url(self) -> str:
        scheme = "https" if self.ssl_context else "http"
        return f"{scheme}://{_HOST}:{self.port}"

    @property
    def openai_url(self) -> str:
        """Base URL for OpenAI clients, which contains the API's version."""
        return f"{self.url}/v1"

    @property
    def anthropic_url(self) -> str:
        """Base URL for Anthropic clients, which contains no version."""
        return self.url

    def script(self, *behaviours: Behaviour) -> None:
        """Answer the next requests like this, one each; after them ``behaviour`` holds again."""
        self._script.extend(behaviours)

    def order(self, request: ApiRequest, connection: int, *, reused: bool) -> Order:
        """Count a request that arrived whole, and decide on its answer."""
        counts, fields = self.counts, request.fields
        counts.requests += 1
        counts.used_connections += not reused
        model = fields.get("model")
        received = ReceivedRequest(
            method=request.method,
            path=request.path,
            api="anthropic" if "anthropic-version" in request.headers else "openai",
            model=model if isinstance(model, str) else None,
            stream=fields.get("stream") is True,
            connection=connection,
        )
        counts.by_api[received.api] += 1
        self.requests.append(received)
        behaviour = self._next_behaviour(received)
        return Order(self._answer(request, received.api, behaviour), behaviour, reused)

    def _next_behaviour(self, request: ReceivedRequest) -> Behaviour:
        try:
            return self._script.popleft()
        except IndexError:
            behaviour = self.behaviour
            return behaviour(request) if callable(behaviour) else behaviour

    def _answer(self, request: ApiRequest, api: str, behaviour: Behaviour) -> Answer:
        is_anthropic = api == "anthropic"
        error = anthropic_api.error if is_anthropic else openai_api.error
        if behaviour.status >= 400:
            return error(behaviour.status, "scripted by the fake provider")
        reply = self.replies.get((request.method, request.path))
        if reply is not None:
            return Whole(reply) if isinstance(reply, bytes) else whole(reply)
        answer = anthropic_api.answer if is_anthropic else openai_api.answer
        missing = f"no such endpoint: {request.method} {request.path}"
        return answer(request, behaviour.tokens, self.counts.requests) or error(404, missing)
