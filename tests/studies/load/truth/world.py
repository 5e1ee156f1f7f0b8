"""One library in one mode: its servers, its metrics, its requests, and what is true of them."""

from __future__ import annotations

import contextlib
import random
import ssl
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import psutil

from studies.load.command import instrumented
from studies.load.servers import Origins
from support.clients import Runner
from support.libraries import Library
from support.network import Certificates
from support.telemetry import Telemetry

from . import sockets
from .ledger import Ledger
from .measures import Measures, MismatchError
from .pools import Pool
from .requests import Request

HTTP2 = ("httpx", "httpx2")
KINDS = (
    *("plain", "another plain", "with an idle timeout", "tls", "held tls", "distrusted"),
    *("refused", "unreachable"),
)


@dataclass(slots=True)
class Truth:
    """What is so at one moment, by port, from outside the package."""

    active: Counter[int] = field(default_factory=Counter)
    """Requests under way."""
    phases: Counter[tuple[int, str]] = field(default_factory=Counter)
    open: Counter[int] = field(default_factory=Counter)
    """Established connections."""
    connecting: Counter[int] = field(default_factory=Counter)


@dataclass(slots=True, kw_only=True)
class World:
    """All of a run."""

    library: Library
    mode: str
    seed: int
    origins: Origins
    context: ssl.SSLContext
    runner: Runner
    telemetry: Telemetry
    measures: Measures
    slack: float
    """How many times as late as on a machine with nothing else to do a thread may have its turn."""
    crowd: int
    """How many times as many requests as usual share the pools."""
    baseline: Counter[tuple[int, str]]
    """Sockets that are not the pools': those that fill the queue of who does not accept."""
    ledger: Ledger = field(default_factory=Ledger)
    pools: list[Pool] = field(default_factory=list)
    """Those that are neither closed nor dropped."""
    under_way: list[Request] = field(default_factory=list)
    """Requests that were sent and have not been entered into the ledger."""
    this_round: list[Request] = field(default_factory=list)
    """All requests of the round, for a person who looks for what went wrong."""
    number: int = 0
    step: str = ""
    chance: random.Random = field(default_factory=random.Random)
    client_seconds: float = 0.0
    """What clients measured of the requests in the ledger, around the library's calls."""
    unknown_seconds: float = 0.0
    """Of these, what passed while abandoned requests ended with their pool at some moment."""
    series: dict[Any, float] = field(default_factory=dict)
    """Values that must not fall, when everything was last compared."""
    phase_seconds: Counter[str] = field(default_factory=Counter)
    """The time of clients by phase, as the server's schedule and the readers have it."""

    @classmethod
    @contextlib.contextmanager
    def start(cls, library: str, mode: str, measures: Measures, **settings: Any) -> Iterator[World]:
        """Servers, an event loop if the mode wants one, and the instrumentation."""
        certificates = Certificates.make()
        kinds = (*KINDS, *(("http2", "http2 cleartext") if library in HTTP2 else ()))
        with contextlib.ExitStack() as stack:
            origins = stack.enter_context(Origins.start(certificates, *kinds))
            baseline = sockets.asked_for(origins.ports)
            telemetry = stack.enter_context(instrumented())
            yield cls(
                library=Library.load(library),
                mode=mode,
                origins=origins,
                context=certificates.client(),
                runner=stack.enter_context(Runner.start(mode)),
                telemetry=telemetry,
                measures=measures,
                baseline=baseline,
                **settings,
            )

    @property
    def can_cancel(self) -> bool:
        """Whether a request is a task."""
        return self.mode != "sync"

    def request(self, pool: Pool, kind: str) -> Request:
        """A new request to an origin of this kind; an HTTP/2 pool is for one origin alone."""
        self.number += 1
        self.measures.requests[f"{self.library.name} {self.mode}"] += 1
        origin = self.origins.by_kind[pool.http2 or kind]
        return Request(number=self.number, pool=pool, origin=origin)

    def begin(self, step: str) -> random.Random:
        """A step: its chance depends on the seed and its name alone, so that it can be replayed."""
        self.step = step
        self.chance = random.Random(f"{self.seed} {self.library.name} {self.mode} {step}")
        return self.chance

    def truth(self) -> Truth:
        """What is so now. Meant for a moment at which nothing moves."""
        truth = Truth()
        listed = sockets.asked_for(self.origins.ports)
        listed.subtract(self.baseline)
        established: Counter[int] = Counter()
        for (port, state), count in listed.items():
            if state in sockets.OPEN:
                established[port] += count
            elif state == psutil.CONN_SYN_SENT:  # elsewhere it takes no time
                truth.connecting[self.origins.by_kind["unreachable"].port] += count
        for port, origin in self.origins.ports.items():
            if origin.handshakes is not None and origin.seen is not None:
                # With handshakes held, those that the server has secured are the established ones.
                secured = sum(
                    known.established and not known.ended
                    for known in list(origin.seen.connections.values())
                )
                truth.connecting[port] = established[port] - secured
                established[port] = secured
        truth.open = +established
        truth.connecting = +truth.connecting
        for request in self.under_way:
            port = request.origin.port
            if request.is_over and not request.is_held_for_ever:
                continue
            truth.active[port] += 1
            truth.phases[port, request.phase] += 1
        self._part(truth)
        return truth

    def _part(self, truth: Truth) -> None:
        """Part those that no server has seen: connecting, and else queued or without a stream."""
        for port, origin in self.origins.ports.items():
            unseen = truth.phases.pop((port, "unseen"), 0)
            connecting = min(unseen, truth.connecting[port])
            waiting = "stream_queued" if origin.kind.startswith("http2") else "queued"
            truth.phases[port, "connecting"] += connecting
            truth.phases[port, waiting] += unseen - connecting
        truth.phases = +truth.phases

    def mismatch(self, what: str) -> MismatchError:
        """What to raise: all that is needed to see it again."""
        reported = [
            f"{what}",
            f"  {self.library.name} {self.mode}, seed {self.seed}, step {self.step}",
            *(f"  pool {pool.settings}, places lost {dict(pool.lost)}" for pool in self.pools),
            *(f"  request {request}" for request in self.this_round),
        ]
        return MismatchError("\n".join(reported))
