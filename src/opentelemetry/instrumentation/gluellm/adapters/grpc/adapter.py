"""The adapter for gRPC: which methods are replaced, and what depends on each."""

from __future__ import annotations

from types import ModuleType
from typing import ClassVar

from ..base import LOST_IN_ALL, Adapter, imported
from ..marks import LEASE, OF_POOLS, give_defaults
from ..scope import Scope
from ..signatures import has_method, has_parameters
from .aio import ARGUMENTS, AioHooks
from .calls import CallLeases
from .channels import AIO_CORE, ORIGIN, SYNC_CORE, ChannelReader
from .sampling import Sampler
from .sync import SyncHooks

_AIO_CALLS = ("UnaryUnaryCall", "UnaryStreamCall", "StreamUnaryCall", "StreamStreamCall")
# The methods that wait for the response, and those that return an object for the call.
_BLOCKING = (("_UnaryUnaryMultiCallable", "_blocking"), ("_StreamUnaryMultiCallable", "_blocking"))
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
        "release": "how and when async calls end, and with it everything about them",
        "sync_release": "how and when sync streams end, and with it everything about them",
        "head": "the start of a response before its first message is read",
        **LOST_IN_ALL,
        "state": "the states of channels, and the phases queued and connecting",
    }

    reader = ChannelReader()
    _sampler: Sampler | None = None

    def uninstall(self) -> None:
        if self._sampler is not None:
            self._sampler.stop()
            self._sampler = None
        super().uninstall()

    def patch(self, module: ModuleType, scope: Scope) -> None:  # noqa: ARG002
        self._sampler = sampler = Sampler(scope.registry.failures, scope.registry.clock)
        self._patch_aio(CallLeases(scope, AIO_CORE, sampler))
        self._patch_sync(CallLeases(scope, SYNC_CORE, sampler))

    def _patch_aio(self, calls: CallLeases) -> None:
        probe, hook = self.probe, self.hook
        aio = imported("grpc.aio")
        inside = imported("grpc.aio._call")
        core = imported("grpc._cython.cygrpc")
        channel = imported("grpc.aio._channel", "Channel")
        stream = getattr(inside, "_StreamResponseMixin", None)
        kinds = [getattr(inside, name, None) for name in _AIO_CALLS]
        hooks = AioHooks(calls, getattr(aio, "EOF", None))

        give_defaults(channel, *OF_POOLS, ORIGIN)
        give_defaults(getattr(inside, "Call", None), LEASE)

        core_call = getattr(core, "_AioCall", None)
        state_known = has_method(getattr(core, "AioChannel", None), "check_connectivity_state")
        calls.reports_state = probe("state", state_known)
        works = has_method(core_call, "add_done_callback") and hasattr(core_call, "_status")
        works = probe("release", works) and has_parameters(channel, "__init__", "target")
        works = works and all(has_parameters(kind, "__init__", *ARGUMENTS) for kind in kinds)
        if not probe("request", works):
            probe("pool_owner", False)
            return
        hook("pool_close", channel, "_close", hooks.close, asynchronous=True)
        probe("head", "_preparation" in getattr(stream, "__annotations__", {}))
        probe("read", hasattr(aio, "EOF"))
        calls.reports_reads = hook("read", stream, "_read", hooks.read, asynchronous=True)
        hook("earlier_channels", channel, "_register_call", hooks.register_call)
        hook("pool_owner", channel, "__init__", calls.channel_init)
        for kind in kinds:
            hook("request", kind, "__init__", hooks.call_init)

    def _patch_sync(self, calls: CallLeases) -> None:
        probe, hook = self.probe, self.hook
        inside = imported("grpc._channel")
        core_channel = imported("grpc._cython.cygrpc", "Channel")
        channel = getattr(inside, "Channel", None)
        call_state = getattr(inside, "_ChannelCallState", None)
        in_queue = getattr(inside, "_Rendezvous", None)
        hooks = SyncHooks(calls)

        give_defaults(call_state, *OF_POOLS, ORIGIN)
        give_defaults(in_queue, LEASE)

        calls.reports_state = probe("state", has_method(core_channel, "check_connectivity_state"))
        methods = [(getattr(inside, name, None), method) for name, method in _BLOCKING + _STARTING]
        works = (
            has_method(core_channel, "target")
            and has_parameters(channel, "__init__", "target")
            and has_parameters(call_state, "__init__", "channel")
            and all(has_parameters(*method, "timeout", "wait_for_ready") for method in methods)
        )
        if not probe("sync_request", works):
            probe("pool_owner", False)
            return
        hook("pool_close", channel, "_close", hooks.close)
        hook("pool_owner", channel, "__init__", calls.channel_init)
        for name, method in _BLOCKING:
            hook("sync_request", getattr(inside, name), method, hooks.blocking)
        probe("sync_release", has_method(in_queue, "add_callback"))
        if not hook("sync_release", in_queue, "__del__", hooks.delete):
            return
        hook("sync_release", in_queue, "cancel", hooks.cancel)
        calls.reports_reads = True
        for name in _STREAMS:
            kind = getattr(inside, name, None)
            hook("head", kind, "initial_metadata", hooks.initial_metadata)
            calls.reports_reads &= hook("read", kind, "_next", hooks.next)
        for name, method in _STARTING:
            hook("sync_request", getattr(inside, name), method, hooks.starting)
