"""One library in one mode: its servers, its metrics, its requests, and what is true of them."""

from __future__ import annotations

import contextlib
import os
import random
import socket
import ssl
import stat
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from studies.load.command import instrumented
from studies.load.servers import Origin, origins
from support.clients import Runner
from support.figures import Figure
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
_ESTABLISHED, _SYN_SENT, _CLOSE_WAIT = 1, 2, 8
"""States of TCP by the numbers that Linux has for them (``include/net/tcp_states.h``)."""


class MismatchError(AssertionError):
    """The metrics reported something else than the truth, or something never came to its end."""


@dataclass(slots=True)
class Measures:
    """Counts by what was compared or done, and the largest deviation of each comparison."""

    requests: Counter[str] = field(default_factory=Counter)
    compared: Counter[str] = field(default_factory=Counter)
    largest: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    rows: Counter[str] = field(default_factory=Counter)
    known: Counter[str] = field(default_factory=Counter)
    """Differences that the documentation describes, and that were allowed for."""

    def deviate(self, what: str, amount: Any) -> None:
        """Record a deviation, which is shown if it is the largest."""
        self.largest[what] = max(self.largest[what], amount)

    def as_figures(self) -> dict[str, Figure]:
        """All of it in words and numbers."""
        figures: dict[str, Figure] = {"requests": self.requests.total()}
        for what in ("requests", "compared", "largest", "faults", "rows", "known"):
            counts = getattr(self, what)
            figures |= {f"{what}: {name}": n for name, n in sorted(counts.items())}
        return figures


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
    baseline: Counter[tuple[int, int]]
    """Sockets that are not the pools': those that fill the queue of who does not accept."""
    ledger: Ledger = field(default_factory=Ledger)
    pools: list[Pool] = field(default_factory=list)
    """Those that are neither closed nor dropped."""
    in_flight: list[Request] = field(default_factory=list)
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
            if state == _SYN_SENT:  # elsewhere it takes no time
                connecting[self.origins["unreachable"].port] += count
            else:
                established[port] += count
        for port, origin in self.ports.items():
            if origin.handshakes is not None and origin.seen is not None:
                # With handshakes held, those that the server has secured are the established ones.
                secured = sum(
                    known.established and not known.ended
                    for known in list(origin.seen.connections.values())
                )
                connecting[port] = established[port] - secured
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


def _sockets_to(ports: Mapping[int, Origin]) -> Counter[tuple[int, int]]:
    """How many sockets lead from this process to each of these ports, by the state of TCP.

    The kernel is asked about each socket that the process has. The servers run in the same process;
    their ends are left out: a port of theirs is the local one. One that is being connected has no
    peer yet: its port is 0.
    """
    found: Counter[tuple[int, int]] = Counter()
    for descriptor in [int(path.name) for path in Path("/proc/self/fd").iterdir()]:
        with contextlib.suppress(OSError):  # closed since, or no socket of TCP
            if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
                continue
            with socket.socket(
                socket.AF_INET, socket.SOCK_STREAM, fileno=os.dup(descriptor)
            ) as copy:
                # The state is the first byte; those behind it tell of loss and retransmission.
                state = copy.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
                if state in (_ESTABLISHED, _SYN_SENT, _CLOSE_WAIT):
                    port = 0 if state == _SYN_SENT else copy.getpeername()[1]
                    if port in ports or not port:
                        found[port, state] += 1
    return found
