"""The adapter for gRPC: which methods are replaced, and what depends on each."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import ClassVar

from ...patching import Hooks
from ..base import Adapter, imported
from ..marks import BUILT_BY, LEASE, LIMITS_FROM, OWNER, TRACKER, give_defaults
from ..scope import Scope
from . import probes
from .aio import AioHooks
from .calls import Calls
from .channels import AIO_CORE, ORIGIN, SYNC_CORE, ChannelReader
from .sampling import Sampler
from .sync import SyncHooks

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

    reader = ChannelReader()

    def __init__(self, module: str, on_hooks: Callable[[Hooks], None]) -> None:
        super().__init__(module, on_hooks)
        self._sampler: Sampler | None = None

    def uninstall(self) -> None:
        if self._sampler is not None:
            self._sampler.stop()
            self._sampler = None
        super().uninstall()

    def patch(self, module: ModuleType, scope: Scope) -> None:  # noqa: ARG002
        self._sampler = sampler = Sampler(scope.registry.failures, scope.registry.clock)
        self._patch_aio(Calls(scope, AIO_CORE, sampler))
        self._patch_sync(Calls(scope, SYNC_CORE, sampler))

    def _patch_aio(self, calls: Calls) -> None:
        probe, hook = self.probe, self.hook
        aio = imported("grpc.aio")
        inside = imported("grpc.aio._call")
        core = imported("grpc._cython.cygrpc")
        channel = imported("grpc.aio._channel", "Channel")
        stream = getattr(inside, "_StreamResponseMixin", None)
        kinds = [getattr(inside, name, None) for name in _AIO_CALLS]
        hooks = AioHooks(calls, getattr(aio, "EOF", None))

        give_defaults(channel, TRACKER, OWNER, BUILT_BY, LIMITS_FROM, ORIGIN)
        give_defaults(getattr(inside, "Call", None), LEASE)

        calls.reports_state = probe("state", probes.aio_state(core))
        ends = probe("release", probes.aio_end(core))
        works = ends and probes.aio_channel(channel) and all(map(probes.aio_call, kinds))
        if not probe("request", works):
            probe("pool_owner", False)
            return
        hook("pool_close", channel, "_close", hooks.close, asynchronous=True)
        probe("head", probes.aio_head(stream))
        calls.reports_reads = probe("read", probes.aio_read(aio, stream))
        hook("read", stream, "_read", hooks.read, asynchronous=True)
        hook("earlier_channels", channel, "_register_call", hooks.register_call)
        hook("pool_owner", channel, "__init__", hooks.channel_init)
        for kind in kinds:
            hook("request", kind, "__init__", hooks.call_init)

    def _patch_sync(self, calls: Calls) -> None:
        probe, hook = self.probe, self.hook
        inside = imported("grpc._channel")
        core = imported("grpc._cython.cygrpc")
        channel = getattr(inside, "Channel", None)
        call_state = getattr(inside, "_ChannelCallState", None)
        in_queue = getattr(inside, "_Rendezvous", None)
        hooks = SyncHooks(calls)

        give_defaults(call_state, TRACKER, OWNER, BUILT_BY, LIMITS_FROM, ORIGIN)
        give_defaults(in_queue, LEASE)

        calls.reports_state = probe("state", probes.sync_state(core))
        methods = [(getattr(inside, name, None), method) for name, method in _BLOCKING + _STARTING]
        works = probes.sync_channel(core, inside) and all(
            probes.sync_call(owner, method) for owner, method in methods
        )
        if not probe("sync_request", works):
            probe("pool_owner", False)
            return
        hook("pool_close", channel, "_close", hooks.close)
        hook("pool_owner", channel, "__init__", hooks.channel_init)
        for name, method in _BLOCKING:
            hook("sync_request", getattr(inside, name), method, hooks.blocking)
        if not probe("sync_release", probes.sync_end(inside)):
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
