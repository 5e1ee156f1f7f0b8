"""The adapter for gRPC: which methods are replaced, and what rests on each."""

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
from .aio import AioSeams
from .calls import Calls, admission_of
from .channels import ChannelReader
from .marks import LEASE, ORIGIN
from .sampling import Sampler
from .sync import SyncSeams

# An async channel can be asked for its state at any time; a sync one takes its lock for it.
AIO_READER = ChannelReader("_channel", looks=True)
SYNC_READER = ChannelReader("channel", looks=False)

_AIO_CALLS = ("UnaryUnaryCall", "UnaryStreamCall", "StreamUnaryCall", "StreamStreamCall")
# The methods that wait for the answer, and those that hand back what stands for the call.
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


class Seam(Protocol):
    """Replaces a method, and notes whether a seam has it."""

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

    def let_go(self) -> None:
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

        def seam(
            name: str,
            owner: Any,
            attribute: str,
            make: Callable[[Any], Any],
            *,
            asynchronous: bool = False,
        ) -> None:
            if found.get(name, True):
                probed(name, self._replace(owner, attribute, make, asynchronous=asynchronous))

        self._patch_aio(calls_of(AIO_READER), probed, seam)
        self._patch_sync(calls_of(SYNC_READER), probed, seam)

    def _patch_aio(self, calls: Calls, probed: Callable[[str, bool], bool], seam: Seam) -> None:
        aio = _module("grpc.aio")
        inside = _module("grpc.aio._call")
        core = _module("grpc._cython.cygrpc")
        channel = getattr(_module("grpc.aio._channel"), "Channel", None)
        stream = getattr(inside, "_StreamResponseMixin", None)
        kinds = [getattr(inside, name, None) for name in _AIO_CALLS]
        seams = AioSeams(calls, getattr(aio, "EOF", None))

        give_defaults(channel, TRACKER, OWNER, BUILT_BY, LIMITS_FROM, ORIGIN)
        give_defaults(getattr(inside, "Call", None), LEASE)

        calls.tells_state = probed("state", probes.aio_state(core))
        ends = probed("release", probes.aio_end(core))
        works = ends and probes.aio_channel(channel) and all(map(probes.aio_call, kinds))
        if not probed("request", works):
            probed("pool_owner", False)
            return
        seam("pool_close", channel, "_close", seams.close, asynchronous=True)
        probed("head", probes.aio_head(stream))
        calls.reads_told = probed("read", probes.aio_read(aio, stream))
        if calls.reads_told:
            seam("read", stream, "_read", seams.read, asynchronous=True)
        seam("earlier_channels", channel, "_register_call", seams.register_call)
        seam("pool_owner", channel, "__init__", seams.channel_init)
        for kind in kinds:
            seam("request", kind, "__init__", seams.call_init)

    def _patch_sync(self, calls: Calls, probed: Callable[[str, bool], bool], seam: Seam) -> None:
        inside = _module("grpc._channel")
        core = _module("grpc._cython.cygrpc")
        channel = getattr(inside, "Channel", None)
        call_state = getattr(inside, "_ChannelCallState", None)
        standing = getattr(inside, "_Rendezvous", None)
        seams = SyncSeams(calls)

        give_defaults(call_state, TRACKER, OWNER, BUILT_BY, LIMITS_FROM, ORIGIN)
        give_defaults(standing, LEASE)

        calls.tells_state = probed("state", probes.sync_state(core))
        methods = [(getattr(inside, name, None), method) for name, method in _BLOCKING + _STARTING]
        works = probes.sync_channel(core, inside) and all(
            probes.sync_call(owner, method) for owner, method in methods
        )
        if not probed("sync_request", works):
            probed("pool_owner", False)
            return
        seam("pool_close", channel, "_close", seams.close)
        seam("pool_owner", channel, "__init__", seams.channel_init)
        for name, method in _BLOCKING:
            seam("sync_request", getattr(inside, name), method, seams.blocking)
        if not probed("sync_release", probes.sync_end(inside)):
            return
        seam("sync_release", standing, "__del__", seams.delete)
        seam("sync_release", standing, "cancel", seams.cancel)
        calls.reads_told = True
        for name in _STREAMS:
            kind = getattr(inside, name, None)
            seam("head", kind, "initial_metadata", seams.initial_metadata)
            seam("read", kind, "_next", seams.next)
            calls.reads_told &= callable(getattr(kind, "_next", None))
        for name, method in _STARTING:
            seam("sync_request", getattr(inside, name), method, seams.starting)


def _module(name: str) -> Any:
    """A module, or None where the installed version has no such one."""
    try:
        return importlib.import_module(name)
    except Exception as error:  # not only ImportError: it can fail in any way
        raise_on(error)
        return None
