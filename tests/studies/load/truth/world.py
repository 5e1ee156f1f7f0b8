"""One library in one mode: its servers, its metrics, its requests, and what is true of them."""

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
"""What is so at one moment, by port, from outside the package; requests by port and phase."""


class MismatchError(AssertionError):
    """The metrics reported something else than the truth, or something never came to its end."""


class Measures:
    """Counts by what was compared or done.

    ``known`` are differences that the documentation describes, and that were allowed for.
    """

    def __init__(self) -> None:
        self.requests: Counter[str] = Counter()
        self.compared, self.faults, self.rows, self.known = (Counter[str]() for _ in range(4))

    def as_figures(self) -> dict[str, Any]:
        """All of it in words and numbers."""
        return {"requests": self.requests.total()} | {
            f"{what}: {name}": number
            for what, counts in vars(self).items()
            for name, number in sorted(counts.items())
        }


@dataclass(slots=True, kw_only=True)
class World:
    """All of a run."""

    library: Library
    mode: str
    seed: int
    origins: dict[str, Origin]
    context: ssl.SSLContext
    runner: Runner
    telemetry: Telemetry
    measures: Measures
    slack: float
    """How many times as late as on a machine with nothing else to do a thread may have its turn."""
    crowd: int
    """How many times as many requests as usual share the pools."""
    baseline: Counter[tuple[int, str]]
    """Sockets that are not the pools': those that fill a listener's queue."""
    ledger: Ledger = field(default_factory=Ledger)
    pools: list[Pool] = field(default_factory=list)
    """Those that are neither closed nor dropped."""
    in_flight: list[Request] = field(default_factory=list)
    """Requests that were sent and have not been entered into the ledger."""
    this_round: list[Request] = field(default_factory=list)
    """All requests of the round, to find what went wrong."""
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
        """Whether a request is a task."""
        return self.mode != "sync"

    def request(self, pool: Pool, kind: str) -> Request:
        """A new request to an origin of this kind; an HTTP/2 pool is for one origin alone."""
        self.number += 1
        self.measures.requests[f"{self.library.name} {self.mode}"] += 1
        return Request(number=self.number, pool=pool, origin=self.origins[pool.http2 or kind])

    def begin(self, step: str) -> random.Random:
        """A step: its chance depends on the seed and its name alone, so that it can be replayed."""
        self.step = step
        self.chance = random.Random(f"{self.seed} {self.library.name} {self.mode} {step}")
        return self.chance

    def truth(self) -> Truth:
        """What is so now. Meant for a moment at which nothing moves."""
        truth: Truth = {name: Counter() for name in (ACTIVE, PHASES, OPEN, CONNECTING)}
        established, connecting = truth[OPEN], truth[CONNECTING]
        listed = _sockets_to(self.ports)
        listed.subtract(self.baseline)
        for (port, state), count in listed.items():
            # A half that the peer has closed counts.
            if state in (psutil.CONN_ESTABLISHED, psutil.CONN_CLOSE_WAIT):
                established[port] += count
            elif state == psutil.CONN_SYN_SENT:
                connecting[port] += count
        for port, origin in self.ports.items():
            if origin.handshakes is not None and origin.seen is not None:
                # With handshakes held, those that the server has secured are the established ones.
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
            # Those that no server has seen: connecting, and else queued or without a stream.
            unseen = phases.pop((port, "unseen"), 0)
            phases[port, "connecting"] = min(unseen, connecting[port])
            waiting = "stream_queued" if origin.kind.startswith("http2") else "queued"
            phases[port, waiting] = unseen - phases[port, "connecting"]
        truth[PHASES] = phases
        for (port, _), count in phases.items():
            truth[ACTIVE][port] += count
        return {name: +counts for name, counts in truth.items()}

    def mismatch(self, what: str) -> MismatchError:
        """What to raise: all that is needed to see it again."""
        reported = [
            f"{what}",
            f"  {self.library.name} {self.mode}, seed {self.seed}, step {self.step}",
            *(f"  pool {pool.settings}, places lost {dict(pool.lost)}" for pool in self.pools),
            *(f"  request {request}" for request in self.this_round),
        ]
        return MismatchError("\n".join(reported))


def _sockets_to(ports: Mapping[int, Origin]) -> Counter[tuple[int, str]]:
    """How many sockets lead from this process to each of these ports, by the state of TCP.

    The servers run in the same process; a port of theirs is the local one of their ends.
    """
    sockets = psutil.Process().net_connections("tcp4")
    leading = (each for each in sockets if each.raddr and each.raddr.port in ports)
    return Counter((each.raddr.port, each.status) for each in leading)
