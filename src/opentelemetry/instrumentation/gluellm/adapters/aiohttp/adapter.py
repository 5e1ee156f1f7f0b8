"""The adapter for aiohttp: which methods are replaced, and what depends on each."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from types import ModuleType
from typing import Any, ClassVar

from ...failures import raise_on
from ...pool.tracker import PoolTracker
from ..admission import Admission
from ..base import Adapter, Surroundings
from ..marks import BUILT_BY, LIMITS_FROM, OWNER, TRACKER, give_defaults
from . import connections, probes, setup
from .marks import CONNECTION, ENTERING, LEASE
from .requests import RequestHooks
from .responses import ResponseHooks

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

    def __init__(self) -> None:
        super().__init__()
        self._admission: Admission | None = None
        self._create: Callable[[Any], Any] | None = None
        """Makes the replacement for a connector's ``_create_connection``."""

    def detach(self) -> None:
        if self._admission is not None:
            self._admission.active = False
        self._admission = None
        self._create = None

    def patch(
        self,
        module: ModuleType,
        library: str,
        surroundings: Surroundings,
        found: dict[str, bool],
    ) -> None:
        self._admission = admission = Admission(
            surroundings, library, connections.READER, self._adopt
        )
        registry = surroundings.registry
        requests = RequestHooks(admission)
        responses = ResponseHooks(registry, note_streaming=surroundings.note_streaming)
        pool = getattr(module, "BaseConnector", None)
        protocol = _inside(module, "client_proto", "ResponseHandler")
        reader = getattr(module, "StreamReader", None)

        give_defaults(pool, TRACKER, OWNER, BUILT_BY, LIMITS_FROM, ENTERING)
        give_defaults(protocol, CONNECTION)
        give_defaults(getattr(module, "ClientRequest", None), LEASE)

        def probed(name: str, works: bool) -> bool:
            found[name] = works = found.get(name, True) and works
            return works

        def hook(
            name: str,
            owner: Any,
            attribute: str,
            make: Callable[[Any], Any],
            *,
            asynchronous: bool | None = False,
        ) -> bool:
            if not found.get(name, True):
                return False
            return probed(name, self._replace(owner, attribute, make, asynchronous=asynchronous))

        # "request" comes last: until ``connect`` is replaced nothing is tracked, so the hooks that
        # are installed before it find no lease.
        probed("total_timeout", probes.total_timeout(module, _inside(module, "helpers")))
        hook("wait", pool, "_wait_for_available_connection", requests.wait, asynchronous=True)
        if probed("read", probes.read(reader, protocol)):
            hook("read", reader, "_wait", responses.body, asynchronous=True)
        if probed("response", callable(getattr(protocol, "feed_data", None))):
            hook("response", protocol, "read", responses.head, asynchronous=True)
        if probed("close_reason", probes.close_reason(protocol)):
            hook("connection_close", protocol, "close", responses.close)
        else:
            probed("connection_close", False)
        if probed("connection_setup", probes.set_up(protocol)):
            self._create = requests.create_connection
            for name in _CONNECTORS:
                kind = getattr(module, name, None)
                hook("connection_setup", kind, _CREATE, self._create, asynchronous=True)
            made = setup.protocol_made(registry.failures)
            hook("connection_setup", protocol, "__init__", made)
        hook("pool_close", pool, "_close", responses.pool_close, asynchronous=None)
        hook("pool_owner", pool, "__init__", requests.connector_init)
        released = probed("release", probes.given_back(protocol)) and hook(
            "release", pool, "_release", responses.release
        )
        if probed("state", probes.pool_state(module)) and released:
            hook("request", pool, "connect", requests.connect, asynchronous=True)
        else:
            probed("request", False)

    def _adopt(self, pool: Any, tracker: PoolTracker) -> None:
        if self._create is not None:
            # A third party's connector may override this method.
            owner = next((kind for kind in type(pool).__mro__ if _CREATE in vars(kind)), None)
            if owner is not None:
                self._replace(owner, _CREATE, self._create, asynchronous=True)
        connections.adopt(pool, tracker)


def _inside(library: ModuleType, module: str, name: str = "") -> Any:
    try:
        found = importlib.import_module(f"{library.__name__}.{module}")
    except Exception as error:  # not only ImportError: importing can raise anything
        raise_on(error)
        return None
    return getattr(found, name, None) if name else found
