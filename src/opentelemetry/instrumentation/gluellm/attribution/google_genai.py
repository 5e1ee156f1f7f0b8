"""Calls of Google's SDK, google-genai.

All hooks are methods of its API client. ``request`` and its three counterparts make a call,
``_request_once`` makes one attempt. Between attempts tenacity pauses: by default there is one.
Verified with google-genai 3.6.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import Any, ClassVar

from ..pool.call import Call
from .context import current_call
from .hosts import operation_of
from .sdk import Described, SdkCalls
from .streams import AsyncStream, SyncStream

_CALLS = ("request", "async_request", "async_request_streamed")
_ATTEMPTS = ("_request_once", "_async_request_once")


class GoogleCalls(SdkCalls):
    """Wrappers of the methods of google-genai's API client."""

    MODULES = ("google.genai._api_client",)
    LOST: ClassVar[Mapping[str, str]] = {
        "calls": "calls of the SDK",
        "attempts": "when an attempt of a call begins, and the pauses between two",
    }

    _provider = "gemini"

    def __init__(self, *settings: Any) -> None:
        super().__init__("google-genai", "google-genai", *settings)

    def _hook(self, module: ModuleType) -> None:
        client = getattr(module, "BaseApiClient", None)
        for name in _ATTEMPTS:
            self._wrap("attempts", client, name, self._around_attempt)
        for name in _CALLS:
            self._wrap("calls", client, name, self._around_request)
        self._wrap("calls", client, "request_streamed", self._around_generator)

    def _describe(
        self, client: Any, http_method: Any, path: Any, *_: Any, **__: Any
    ) -> Described | None:
        operation = operation_of(path)
        if operation is None or http_method.lower() != "post":
            return None
        model = path.rpartition("/")[2].partition(":")[0]
        return "vertexai" if client.vertexai else "gemini", operation, model, False

    def _returned(self, call: Call, result: Any) -> Any:
        if hasattr(type(result), "__anext__"):
            return self._streamed(AsyncStream, result, call)
        return super()._returned(call, result)

    def _around_generator(self, original: Any) -> Any:
        """Wrap a generator function, which sends its request in the first step."""

        def request_streamed(*args: Any, **kwargs: Any) -> Any:
            call = self._begin(args, kwargs)
            items = original(*args, **kwargs)
            if call is None:
                return items
            call.start()
            return self._streamed(SyncStream, items, call)

        return request_streamed

    def _streamed(self, kind: type[AsyncStream | SyncStream], items: Any, call: Call) -> Any:
        if call.counted is not None:
            call.counted.streams_to(call)
        return kind(items, call, current_call)
