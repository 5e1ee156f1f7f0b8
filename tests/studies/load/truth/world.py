"""One library in one mode: its servers, its metrics, its requests, and the truth about them."""

from __future__ import annotations

import contextlib
import random
import ssl
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import psutil

from studies.load.servers import Origin, origins
from support.clients import Runner
from support.installation import instrumented
from support.libraries import Library
from support.network import Certificates
from support.telemetry import Telemetry

from .outcomes import Ledger
from .requests import Pool, Request

HTTP2 = ("httpx", "httpx2")
_KINDS = (
    *("plain", "another plain", "with an idle timeout", "tls", "held tls", "distrusted"),
    *("refused", "unreachable"),
)
ACTIVE, PHASES = "active requests", "requests by phase"
OPEN, CONNECTING = "open connections", "connections being set up"
Truth = dict[str, Counter[Any]]
"""The truth at one moment, by port, from outside the package; requests by port and phase."""


class MismatchError(AssertionError):
    """The metrics differ from the truth, or something never ended."""


class Measures:
    """Counts of what was compared or done.

    ``known`` are differences that the documentation describes, and that are allowed.
    """

    def __init__(self) -> None:
        self.requests: Counter[str] = Counter()
        self.compared, self.faults, self.rows, self.known = (Counter[str]() for _ in range(4))

    def as_figures(self) -> dict[str, Any]:
        """All counts, by their names."""
        return {"requests": self.requests.total()} | {
            f"{what}: {name}": number
            for what, counts in vars(self).items()
            for name, number in sorted(counts.items())
        }


@dataclass(slots=True, kw_only=True)
class World:
    """The state of a run."""

    library: Library
    mode: str
    seed: int
    origins: dict[str, Origin]
    context: ssl.SSLContext
    runner: Runner
    telemetry: Telemetry
    measures: Measures
    slack: float
    """By which factor a thread may be later than on an idle machine."""
    crowd: int
    """By which factor there are more requests than usual."""
    baseline: Counter[tuple[int, str]]
    """Sockets that don't belong to the pools: those that fill a listener's queue."""
    ledger: Ledger = field(default_factory=Ledger)
    pools: list[Pool] = field(default_factory=list)
    """Pools that are neither closed nor dropped."""
    in_flight: list[Request] = field(default_factory=list)
    """Requests that were sent and are not in the ledger yet."""
    this_round: list[Request] = field(default_factory=list)
    """All requests of the round, to explain a mismatch."""
    number: int = 0
    step: str = ""
    chance: random.Random = field(default_factory=random.Random)
    client_seconds: float = 0.0
    """Time of the requests in the ledger, as clients measured it around the library's calls."""
    unknown_seconds: float = 0.0
    """Part of `client_seconds` in which abandoned requests ended at an unknown moment."""
    series: dict[Any, float] = field(default_factory=dict)
    """Values at the last comparison that must not fall."""
    phase_seconds: Counter[str] = field(default_factory=Counter)
    """`client_seconds` by phase, according to the server's schedule and the readers."""

    @classmethod
    @contextlib.contextmanager
    def start(cls, library: str, mode: str, measures: Measures, **settings: Any) -> Iterator[World]:
        """Start servers, an event loop if the mode needs one, and the instrumentation."""
        certificates = Certificates.make()
        kinds = (*_KINDS, *(("http2", "http2 cleartext") if library in HTTP2 else ()))
        with contextlib.ExitStack() as stack:
            started = stack.enter_context(origins(certificates, *kinds))
            baseline = _sockets_to({origin.port: origin for origin in started.values()})
            telemetry = stack.enter_context(instrumented())
            yield cls(
                library=Library.load(library),
                mode=mode,
                origins=started,
                context=certificates.client(),
                runner=stack.enter_context(Runner.start(mode)),
                telemetry=telemetry,
                measures=measures,
                baseline=baseline,
                **settings,
            )

    @property
    def ports(self) -> dict[int, Origin]:
        """Origins by their ports."""
        return {origin.port: origin for origin in self.origins.values()}

    @property
    def can_cancel(self) -> bool:
        """Whether requests are tasks."""
        return self.mode != "sync"

    def request(self, pool: Pool, kind: str) -> Request:
        """A new request to an origin of this kind; an HTTP/2 pool is for one origin alone."""
        self.number += 1
        self.measures.requests[f"{self.library.name} {self.mode}"] += 1
        return Request(number=self.number, pool=pool, origin=self.origins[pool.http2 or kind])

    def begin(self, step: str) -> random.Random:
        """Begin a step. It can be replayed: its random numbers follow from seed and name."""
        self.step = step
        self.chance = random.Random(f"{self.seed} {self.library.name} {self.mode} {step}")
        return self.chance

    def truth(self) -> Truth:
        """The truth at this moment; valid while nothing changes."""
        truth: Truth = {name: Counter() for name in (ACTIVE, PHASES, OPEN, CONNECTING)}
        established, connecting = truth[OPEN], truth[CONNECTING]
        listed = _sockets_to(self.ports)
        listed.subtract(self.baseline)
        for (port, state), count in listed.items():
            # A connection that the peer has half-closed counts.
            if state in (psutil.CONN_ESTABLISHED, psutil.CONN_CLOSE_WAIT):
                established[port] += count
            elif state == psutil.CONN_SYN_SENT:
                connecting[port] += count
        for port, origin in self.ports.items():
            if origin.handshakes is not None and origin.seen is not None:
                # While handshakes are held, only connections that the server has secured are
                # established.
                secured = sum(
                    known.established and not known.ended
                    for known in list(origin.seen.connections.values())
                )
                connecting[port] += established[port] - secured
                established[port] = secured
        phases: Counter[tuple[int, str]] = Counter()
        for request in self.in_flight:
            if not request.is_over or request.is_held_for_ever:
                phases[request.origin.port, request.phase] += 1
        for port, origin in self.ports.items():
            # Requests that no server has seen are connecting, queued or waiting for a stream.
            unseen = phases.pop((port, "unseen"), 0)
            phases[port, "connecting"] = min(unseen, connecting[port])
            waiting = "stream_queued" if origin.kind.startswith("http2") else "queued"
            phases[port, waiting] = unseen - phases[port, "connecting"]
        truth[PHASES] = phases
        for (port, _), count in phases.items():
            truth[ACTIVE][port] += count
        return {name: +counts for name, counts in truth.items()}

    def mismatch(self, what: str) -> MismatchError:
        """The error to raise, with everything that is needed to reproduce it."""
        reported = [
            f"{what}",
            f"  {self.library.name} {self.mode}, seed {self.seed}, step {self.step}",
            *(f"  pool {pool.settings}, connections lost {dict(pool.lost)}" for pool in self.pools),
            *(f"  request {request}" for request in self.this_round),
        ]
        return MismatchError("\n".join(reported))


def _sockets_to(ports: Mapping[int, Origin]) -> Counter[tuple[int, str]]:
    """How many sockets lead from this process to each of these ports, by TCP state.

    The servers run in the same process; the ports are the local ones of their own sockets.
    """
    sockets = psutil.Process().net_connections("tcp4")
    leading = (each for each in sockets if each.raddr and each.raddr.port in ports)
    return Counter((each.raddr.port, each.status) for each in leading)
