"""The adapter for aiohttp: which methods are replaced, and what depends on each."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any, ClassVar

from ...patching import Hooks
from ..base import Adapter, imported
from ..marks import BUILT_BY, CONNECTION, LEASE, LIMITS_FROM, OWNER, TRACKER, give_defaults
from ..scope import Scope
from . import probes, setup
from .reading import AiohttpReader
from .requests import ENTERING, AiohttpRequestHooks
from .responses import AiohttpResponseHooks

_CREATE = "_create_connection"
_CONNECTORS = ("TCPConnector", "UnixConnector", "NamedPipeConnector")


class AiohttpAdapter(Adapter):
    """Patches aiohttp's connectors, now or once it is imported."""

    MODULES: ClassVar = {"aiohttp": "aiohttp"}
    LOST: ClassVar = {
        "request": "everything about pools of this library",
        "release": "everything about pools of this library: requests would never end",
        "wait": "telling a wait in the queue from an immediate acquire",
        "connection_setup": "set-up times, and connections opened",
        "response": "statuses, and every phase after awaiting_response",
        "read": "telling the phases reading and unread apart",
        "connection_close": "connections closed",
        "close_reason": "why connections are closed",
        "total_timeout": "telling a timeout of the whole request from a cancellation",
        "state": "open connections, limits and occupancy",
        "pool_owner": "the provider of pools that are built inside an any-llm call",
        "pool_close": "telling closed pools from garbage-collected ones",
    }

    def __init__(self, module: str, on_hooks: Callable[[Hooks], None]) -> None:
        super().__init__(module, on_hooks)
        self.reader = AiohttpReader(self._cover)
        self._create: Callable[[Any], Any] | None = None
        """Makes the replacement for a connector's ``_create_connection``."""

    def patch(self, module: ModuleType, scope: Scope) -> None:
        probe, hook = self.probe, self.hook
        requests = AiohttpRequestHooks(scope)
        responses = AiohttpResponseHooks(scope)
        pool = getattr(module, "BaseConnector", None)
        protocol = imported(f"{self.module}.client_proto", "ResponseHandler")
        reader = getattr(module, "StreamReader", None)

        give_defaults(pool, TRACKER, OWNER, BUILT_BY, LIMITS_FROM, ENTERING)
        give_defaults(protocol, CONNECTION)
        give_defaults(getattr(module, "ClientRequest", None), LEASE)

        # "request" comes last: until ``connect`` is replaced nothing is tracked, so the hooks that
        # are installed before it find no lease.
        helpers = imported(f"{self.module}.helpers")
        probe("total_timeout", probes.total_timeout(module, helpers))
        hook("wait", pool, "_wait_for_available_connection", requests.wait, asynchronous=True)
        probe("read", probes.body_read(reader, protocol))
        hook("read", reader, "_wait", responses.body, asynchronous=True)
        probe("response", callable(getattr(protocol, "feed_data", None)))
        hook("response", protocol, "read", responses.head, asynchronous=True)
        probe("connection_close", probe("close_reason", probes.close_reasons(protocol)))
        hook("connection_close", protocol, "close", responses.close)
        if probe("connection_setup", probes.set_up(protocol)):
            self._create = requests.create_connection
            for name in _CONNECTORS:
                kind = getattr(module, name, None)
                hook("connection_setup", kind, _CREATE, self._create, asynchronous=True)
            made = setup.protocol_made(scope.registry.failures)
            hook("connection_setup", protocol, "__init__", made)
        hook("pool_close", pool, "_close", responses.pool_close, asynchronous=None)
        hook("pool_owner", pool, "__init__", scope.built)
        probe("release", probes.released(protocol))
        released = hook("release", pool, "_release", responses.release)
        probe("request", probe("state", probes.connector_state(module)) and released)
        hook("request", pool, "connect", requests.connect, asynchronous=True)

    def _cover(self, pool: Any) -> None:
        """Replace the method that a third party's connector overrides, before its first request."""
        if self._create is not None:
            owner = next((kind for kind in type(pool).__mro__ if _CREATE in vars(kind)), None)
            if owner is not None:
                self._replace(owner, _CREATE, self._create, asynchronous=True)
