"""What a fake provider answers with: its settings, its script and its counts."""

from __future__ import annotations

import math
import ssl
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar

from . import anthropic_api, openai_api
from .behaviour import Behaviour, Counts, ReceivedRequest
from .messages import Answer, ApiRequest, Whole, whole

_REMEMBERED = 10_000


@dataclass(kw_only=True, eq=False)
class Origin:
    """Every attribute may be changed at any time, from any thread."""

    host: ClassVar = "127.0.0.1"
    port: int = 0
    """0 takes any free port."""
    behaviour: Behaviour | Callable[[ReceivedRequest], Behaviour] = field(default_factory=Behaviour)
    """A function of the request runs in the provider's event loop."""
    ssl_context: ssl.SSLContext | None = None
    idle_timeout: float = math.inf
    """Seconds after which an idle connection is closed; HTTP/1.1 only."""
    replies: dict[tuple[str, str], object] = field(default_factory=dict)
    """Bodies of further endpoints by method and path: bytes, a value for JSON, or a function that
    makes one of these of the request's fields."""
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
    def url(self) -> str:
        scheme = "https" if self.ssl_context else "http"
        return f"{scheme}://{self.host}:{self.port}"

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

    def order(
        self, request: ApiRequest, connection: int, *, reused: bool
    ) -> tuple[Answer, Behaviour]:
        """Count a request that arrived whole, and decide what to answer and how.

        ``reused`` is whether its connection had carried a request before.
        """
        counts, fields = self.counts, request.fields
        counts.requests += 1
        model = fields.get("model")
        received = ReceivedRequest(
            method=request.method,
            path=request.path,
            api="anthropic" if "anthropic-version" in request.headers else "openai",
            model=model if isinstance(model, str) else None,
            stream=fields.get("stream") is True,
            connection=connection,
        )
        self.requests.append(received)
        behaviour = self._script.popleft() if self._script else self.behaviour
        if callable(behaviour):
            behaviour = behaviour(received)
        if behaviour.drop_reused and reused:
            behaviour = Behaviour(reset_before_head=True)
        return self._answer(request, received.api, behaviour), behaviour

    def _answer(self, request: ApiRequest, api: str, behaviour: Behaviour) -> Answer:
        is_anthropic = api == "anthropic"
        error = anthropic_api.error if is_anthropic else openai_api.error
        if behaviour.status >= 400:
            return error(behaviour.status, "scripted by the fake provider")
        reply = self.replies.get((request.method, request.path))
        if reply is not None:
            body = reply(request.fields) if callable(reply) else reply
            return Whole(body) if isinstance(body, bytes) else whole(body)
        answer = anthropic_api.answer if is_anthropic else openai_api.answer
        missing = f"no such endpoint: {request.method} {request.path}"
        return answer(request, behaviour.tokens, self.counts.requests) or error(404, missing)
