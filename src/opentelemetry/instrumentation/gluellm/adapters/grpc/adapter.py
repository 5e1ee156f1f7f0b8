"""The adapter for gRPC: which methods are replaced, and what depends on each."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from types import ModuleType
from typing import Any, ClassVar, Protocol

from ...failures import raise_on
from ..admission import Admission
from ..base import Adapter, Surroundings
from ..marks import BUILT_BY, LIMITS_FROM, OWNER, TRACKER, give_defaults
from . import probes
from .aio import AioHooks
from .calls import Calls, admission_of
from .channels import ChannelReader
from .marks import LEASE, ORIGIN
from .sampling import Sampler
from .sync import SyncHooks

# The state of an async channel can be read at any time; reading a sync one's takes its lock.
AIO_READER = ChannelReader("_channel", looks=True)
SYNC_READER = ChannelReader("channel", looks=False)

_AIO_CALLS = ("UnaryUnaryCall", "UnaryStreamCall", "StreamUnaryCall", "StreamStreamCall")
# The methods that wait for the response, and those that return an object for the call.
_BLOCKING = (
    ("_UnaryUnaryMultiCallable", "_blocking"),
    ("_StreamUnaryMultiCallable", "_blocking"),
)
_STARTING = (
    ("_UnaryUnaryMultiCallable", "future"),
    ("_StreamUnaryMultiCallable", "future"),
    ("_UnaryStreamMultiCallable", "__call__"),
    ("_SingleThreadedUnaryStreamMultiCallable", "__call__"),
    ("_StreamStreamMultiCallable", "__call__"),
)
_STREAMS = ("_SingleThreadedRendezvous", "_MultiThreadedRendezvous")


class Hook(Protocol):
    """Replaces a method, and records for the named hook whether the method exists."""

    def __call__(
        self,
        name: str,
        owner: Any,
        attribute: str,
        make: Callable[[Any], Any],
        *,
        asynchronous: bool = False,
    ) -> None: ...


class GrpcAdapter(Adapter):
    """Patches gRPC's channels and calls, now or once it is imported."""

    MODULES: ClassVar = {"grpc": "grpc"}
    DISTRIBUTIONS: ClassVar = {"grpc": "grpcio"}
    LOST: ClassVar = {
        "request": "everything about async channels",
        "sync_request": "everything about sync channels",
        "earlier_channels": "async channels with interceptors that were built before instrument()",
        "state": "the states of channels, and the phases queued and connecting",
        "release": "how and when async calls end, and with it everything about them",
        "sync_release": "how and when sync streams end, and with it everything about them",
        "head": "telling an answer that has begun from one that has not, until a message is read",
        "read": "telling the phases reading and unread apart",
        "pool_owner": "the provider of channels that are built inside an any-llm call",
        "pool_close": "telling closed channels from garbage-collected ones",
    }

    def __init__(self) -> None:
        super().__init__()
        self._admissions: list[Admission] = []
        self._sampler: Sampler | None = None

    def detach(self) -> None:
        for admission in self._admissions:
            admission.active = False
        self._admissions.clear()
        if self._sampler is not None:
            self._sampler.stop()
            self._sampler = None

    def patch(
        self,
        module: ModuleType,  # noqa: ARG002
        library: str,
        surroundings: Surroundings,
        found: dict[str, bool],
    ) -> None:
        registry = surroundings.registry
        self._sampler = Sampler(registry.failures, registry.clock)

        def calls_of(reader: ChannelReader) -> Calls:
            admission = admission_of(surroundings, library, reader)
            self._admissions.append(admission)
            assert self._sampler is not None
            return Calls(admission, reader, self._sampler)

        def probed(name: str, works: bool) -> bool:
            found[name] = works = found.get(name, True) and works
            return works

        def hook(
            name: str,
            owner: Any,
            attribute: str,
            make: Callable[[Any], Any],
            *,
            asynchronous: bool = False,
        ) -> None:
            if found.get(name, True):
                probed(name, self._replace(owner, attribute, make, asynchronous=asynchronous))

        self._patch_aio(calls_of(AIO_READER), probed, hook)
        self._patch_sync(calls_of(SYNC_READER), probed, hook)

    def _patch_aio(self, calls: Calls, probed: Callable[[str, bool], bool], hook: Hook) -> None:
        aio = _module("grpc.aio")
        inside = _module("grpc.aio._call")
        core = _module("grpc._cython.cygrpc")
        channel = getattr(_module("grpc.aio._channel"), "Channel", None)
        stream = getattr(inside, "_StreamResponseMixin", None)
        kinds = [getattr(inside, name, None) for name in _AIO_CALLS]
        hooks = AioHooks(calls, getattr(aio, "EOF", None))

        give_defaults(channel, TRACKER, OWNER, BUILT_BY, LIMITS_FROM, ORIGIN)
        give_defaults(getattr(inside, "Call", None), LEASE)

        calls.reports_state = probed("state", probes.aio_state(core))
        ends = probed("release", probes.aio_end(core))
        works = ends and probes.aio_channel(channel) and all(map(probes.aio_call, kinds))
        if not probed("request", works):
            probed("pool_owner", False)
            return
        hook("pool_close", channel, "_close", hooks.close, asynchronous=True)
        probed("head", probes.aio_head(stream))
        calls.reports_reads = probed("read", probes.aio_read(aio, stream))
        if calls.reports_reads:
            hook("read", stream, "_read", hooks.read, asynchronous=True)
        hook("earlier_channels", channel, "_register_call", hooks.register_call)
        hook("pool_owner", channel, "__init__", hooks.channel_init)
        for kind in kinds:
            hook("request", kind, "__init__", hooks.call_init)

    def _patch_sync(self, calls: Calls, probed: Callable[[str, bool], bool], hook: Hook) -> None:
        inside = _module("grpc._channel")
        core = _module("grpc._cython.cygrpc")
        channel = getattr(inside, "Channel", None)
        call_state = getattr(inside, "_ChannelCallState", None)
        in_queue = getattr(inside, "_Rendezvous", None)
        hooks = SyncHooks(calls)

        give_defaults(call_state, TRACKER, OWNER, BUILT_BY, LIMITS_FROM, ORIGIN)
        give_defaults(in_queue, LEASE)

        calls.reports_state = probed("state", probes.sync_state(core))
        methods = [(getattr(inside, name, None), method) for name, method in _BLOCKING + _STARTING]
        works = probes.sync_channel(core, inside) and all(
            probes.sync_call(owner, method) for owner, method in methods
        )
        if not probed("sync_request", works):
            probed("pool_owner", False)
            return
        hook("pool_close", channel, "_close", hooks.close)
        hook("pool_owner", channel, "__init__", hooks.channel_init)
        for name, method in _BLOCKING:
            hook("sync_request", getattr(inside, name), method, hooks.blocking)
        if not probed("sync_release", probes.sync_end(inside)):
            return
        hook("sync_release", in_queue, "__del__", hooks.delete)
        hook("sync_release", in_queue, "cancel", hooks.cancel)
        calls.reports_reads = True
        for name in _STREAMS:
            kind = getattr(inside, name, None)
            hook("head", kind, "initial_metadata", hooks.initial_metadata)
            hook("read", kind, "_next", hooks.next)
            calls.reports_reads &= callable(getattr(kind, "_next", None))
        for name, method in _STARTING:
            hook("sync_request", getattr(inside, name), method, hooks.starting)


def _module(name: str) -> Any:
    """Import a module; None if the installed version has none or importing it fails."""
    try:
        return importlib.import_module(name)
    except Exception as error:  # not only ImportError: importing can raise anything
        raise_on(error)
        return None
