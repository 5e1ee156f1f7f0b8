"""Calls of the SDKs that Stainless generates: openai, anthropic, groq, together, cerebras.

All hooks are methods of classes, looked up at each call, so clients that exist already are covered.
``request`` is the loop of attempts, ``_build_request`` begins an attempt, ``_sleep_for_retry`` is
the pause between two, and ``__stream__`` makes the iterator of a stream. Verified with openai 2.18
and 3.57, anthropic 0.125 and 2.15, groq 1.7, together 2.36 and cerebras 1.91.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any, ClassVar

from ..vocabulary import PREPARING
from .context import counted_call
from .hosts import operation_of
from .sdk import Described, SdkCalls, platform_of
from .streams import wrapper_of

SDKS = {
    "anthropic": ("anthropic", "anthropic"),
    "cerebras.cloud.sdk": ("cerebras", "cerebras-cloud-sdk"),
    "fireworks": ("fireworks", "fireworks-ai"),
    "groq": ("groq", "groq"),
    "openai": ("openai", "openai"),
    "together": ("together", "together"),
}
"""Each package, with any-llm's key of its provider and the name of the distribution."""


class StainlessCalls(SdkCalls):
    """Wrappers of the methods of one of these SDKs."""

    LOST: ClassVar[Mapping[str, str]] = {
        "calls": "calls of the SDK",
        "attempts": "when an attempt of a call begins, if no pool shows its request",
        "pauses": "pauses between the attempts of a call if the last answer was not an error",
        "items": "when a stream has ended, and how long the wait for its next item takes",
    }

    def __init__(self, package: str, *settings: Any) -> None:
        self._provider, distribution = SDKS[package]
        self.MODULES = (f"{package}._base_client",)  # type: ignore[misc]
        super().__init__(self._provider, distribution, *settings)

    def _hook(self, module: ModuleType) -> None:
        client = getattr(module, "BaseClient", None)
        self._wrap("attempts", client, "_build_request", self._around_build)
        for prefix, stream in (("Sync", "Stream"), ("Async", "AsyncStream")):
            client = getattr(module, f"{prefix}APIClient", None)
            self._wrap("pauses", client, "_sleep_for_retry", self._around_pause)
            self._wrap("items", getattr(module, stream, None), "__stream__", self._around_stream)
            self._wrap("calls", client, "request", self._around_request)
            if isinstance(client, type):
                self._patches.follow_subclasses(client, self._cover)

    def _cover(self, client: type) -> None:
        # OpenInference and Logfire replace the method of a subclass.
        if self._on and "request" in client.__dict__:
            self._wrap("calls", client, "request", self._around_request)

    def _describe(
        self,
        client: Any,
        cast_to: Any,  # noqa: ARG002  the names are the SDK's
        options: Any,
        *_: Any,
        stream: bool = False,
        **__: Any,
    ) -> Described | None:
        operation = operation_of(options.url)
        if operation is None or options.method.lower() != "post":
            return None
        kind: type = type(client)
        # openai's property imports a module each time, which costs as much as the call's begin.
        url = getattr(client, "_base_url", None) or client.base_url
        provider = platform_of(kind) or self._naming.provider(str(url.host), url.port)
        body = options.json_data
        model = body.get("model") if isinstance(body, (dict, Mapping)) else None
        return provider, operation, model, stream is True

    def _open_response(self, result: Any) -> Any:
        kind: type = type(result)
        attribute = _response_attribute(kind)
        response = None if attribute is None else getattr(result, attribute, None)
        return None if response is None or response.is_closed else response

    def _has_items(self, result: Any) -> bool:
        kind: type = type(result)
        return _response_attribute(kind) == "response"

    def _around_build(self, original: Any) -> Any:
        def build_request(*args: Any, **kwargs: Any) -> Any:
            request = original(*args, **kwargs)
            call = self._own_call()
            if call is not None and call.counted is not None:
                call.counted.send()
            return request

        return build_request

    def _around_stream(self, original: Any) -> Any:
        def stream(self_: Any) -> Any:
            return self._items_of(original(self_), self_.response)

        return stream

    def _around_pause(self, original: Any) -> Any:
        if inspect.iscoroutinefunction(original):

            async def pause(*args: Any, **kwargs: Any) -> Any:
                with self._paused(kwargs.get("response")):
                    return await original(*args, **kwargs)

            return pause

        def pause_sync(*args: Any, **kwargs: Any) -> Any:
            with self._paused(kwargs.get("response")):
                return original(*args, **kwargs)

        return pause_sync

    @contextlib.contextmanager
    def _paused(self, response: Any) -> Iterator[None]:
        counted = counted_call() if self._on else None
        if counted is not None:
            counted.pause(getattr(response, "headers", None) or {})
        try:
            yield
        finally:
            if counted is not None:
                counted.enter(PREPARING)


@functools.lru_cache(maxsize=100)
def _response_attribute(kind: type) -> str | None:
    """Return the attribute of a result that is the response; None if its body is read."""
    if hasattr(kind, "http_request"):  # raw and streamed responses
        return "http_response"
    return None if wrapper_of(kind) is None else "response"
