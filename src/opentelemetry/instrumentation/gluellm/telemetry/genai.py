"""What the current GenAI span of another instrumentation shows about a call."""

from __future__ import annotations

from typing import Any

from opentelemetry.context import Context
from opentelemetry.trace import SpanKind

from ..pool.call import bounded
from ..providers import PROVIDERS
from ..text import one_line
from . import semconv
from .entry import entry_context, span_in

_OPERATIONS = frozenset({"chat", "text_completion", "generate_content", "embeddings"})
"""Operations that call a model. ``invoke_agent`` and ``execute_tool`` contain tools' requests."""
# As names: looking up a member of an enumeration, or its hash, would take as long as all the rest.
_CLIENT = SpanKind.CLIENT
_INTERNAL = SpanKind.INTERNAL  # some instrumentations set no kind
_SYSTEM = "gen_ai.system"
"""Former name of ``gen_ai.provider.name``."""
_MOST_UNKNOWN = 10
_LONGEST = 64


class GenAISpans:
    """Reads the current span of any instrumentation."""

    def __init__(self) -> None:
        self._context = entry_context()
        self._unknown: dict[str, str] = {}

    def current(self) -> tuple[str | None, str, str | None] | None:
        """Return provider (any-llm's key), operation and model; None if it is no GenAI span."""
        context = self._context()
        if not context or not isinstance(context, Context):
            return None
        # This runs for every POST of a traced program, so what rules out most spans comes first.
        span: Any = span_in(context)
        kind = getattr(span, "kind", None)
        if kind is not _CLIENT and kind is not _INTERNAL:
            return None
        found = getattr(span, "attributes", None)
        operation = found.get(semconv.OPERATION_NAME) if found else None
        if found is None or operation not in _OPERATIONS or not span.is_recording():
            return None
        provider = found.get(semconv.PROVIDER_NAME) or found.get(_SYSTEM)
        model = found.get(semconv.REQUEST_MODEL)
        return (
            self._key(provider) if isinstance(provider, str) else None,
            operation,
            model if isinstance(model, str) else None,
        )

    def _key(self, provider: str) -> str:
        key = semconv.provider_key(provider)
        return (
            key
            if key in PROVIDERS
            else bounded(self._unknown, one_line(key, _LONGEST), _MOST_UNKNOWN)
        )
