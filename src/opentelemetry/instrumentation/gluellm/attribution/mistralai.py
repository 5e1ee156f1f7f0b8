"""Calls of Mistral's SDK, mistralai, and of its copies for Azure and Google Cloud.

``do_request`` makes a call of a request that is built already, with retries only if the client asks
for them. The result of the last request shows whether a call backs off. Verified with mistralai
3.7.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import ModuleType
from typing import Any, ClassVar

from ..pool.call import Call
from ..vocabulary import FAILED
from .hosts import operation_of
from .sdk import Described, SdkCalls

_PACKAGES = ("mistralai", "mistralai.azure", "mistralai.gcp")
_PLATFORMS = {"azure": "azure", "gcp": "vertexai"}
_MODEL = re.compile(rb'\{\s*"model":\s*"([^"\\]{1,256})"')
"""Begin of a body. The SDK puts the model first; any other place is the application's text."""
_REFUSED = 400


class MistralCalls(SdkCalls):
    """Wrappers of the methods of Mistral's SDK."""

    MODULES = tuple(
        f"{package}.client.{module}"
        for package in _PACKAGES
        for module in ("basesdk", "utils.eventstreaming")
    )
    LOST: ClassVar[Mapping[str, str]] = {
        "calls": "calls of the SDK",
        "items": "when a stream has ended, and how long the wait for its next item takes",
    }

    _provider = "mistral"

    def __init__(self, *settings: Any) -> None:
        super().__init__("mistralai", "mistralai", *settings)

    def _hook(self, module: ModuleType) -> None:
        if module.__name__.endswith("basesdk"):
            client = getattr(module, "BaseSDK", None)
            for name in ("do_request", "do_request_async"):
                self._wrap("calls", client, name, self._around_request)
            return
        for name in ("EventStream", "EventStreamAsync"):
            stream = getattr(module, name, None)
            self._wrap("items", stream, "__init__", self._around_stream)

    def _describe(
        self,
        sdk: Any,
        hook_ctx: Any,  # noqa: ARG002  the names are the SDK's
        request: Any,
        *_: Any,
        stream: bool = False,
        **__: Any,
    ) -> Described | None:
        operation = operation_of(request.url.path)
        if operation is None or request.method != "POST":
            return None
        platform = _PLATFORMS.get(type(sdk).__module__.split(".")[1])
        provider = platform or self._naming.provider(request.url.host, request.url.port)
        found = _MODEL.match(request.content)
        return provider, operation, found and found[1].decode("utf-8", "replace"), stream is True

    def _begin(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call | None:
        call = super()._begin(args, kwargs)
        if call is not None and call.counted is not None:
            call.counted.send()
        return call

    def _returned(self, call: Call, result: Any) -> Any:
        if result.status_code >= _REFUSED and call.counted is not None:
            # The caller of the request function raises.
            call.counted.end(FAILED, str(result.status_code))
        return super()._returned(call, result)

    def _open_response(self, result: Any) -> Any:
        return None if result.is_closed else result

    def _around_stream(self, original: Any) -> Any:
        def __init__(self_: Any, *args: Any, **kwargs: Any) -> None:
            original(self_, *args, **kwargs)
            self_.generator = self._items_of(self_.generator, self_.response)

        return __init__
