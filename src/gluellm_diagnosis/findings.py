"""Findings: the result of a diagnosis."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Literal, NamedTuple

from opentelemetry.instrumentation.gluellm.text import call_site_text, one_line, wrapped


class Severity(StrEnum):
    """How urgent a finding is, the most urgent first."""

    ERROR = "error"
    """It makes requests fail or hang now."""
    WARNING = "warning"
    """It makes requests slower, or will make them fail once the load grows."""
    INFO = "info"
    """Worth knowing; it affects no request yet."""


class Kind(StrEnum):
    """Kind of cause or risk, the most causal first."""

    # Certain by themselves: a connection held, a stream orphaned, a client built, a refusal.
    LEAK = "leak"
    HTTP2_STUCK = "http2_stuck"
    CLIENT_CHURN = "client_churn"
    WRONG_EVENT_LOOP = "wrong_event_loop"
    FORKED_CLIENT = "forked_client"
    CONNECT_FAILURES = "connect_failures"
    CHANNEL_NOT_READY = "channel_not_ready"
    CLIENT_CLOSED = "client_closed"
    REUSE_FAILURES = "reuse_failures"
    CLOSED_UNANSWERED = "closed_unanswered"
    TRUNCATED_ANSWERS = "truncated_answers"
    SILENT_CONNECTIONS = "silent_connections"
    STALLED_STREAMS = "stalled_streams"
    GLUELLM_LIMITER = "gluellm_limiter"
    RETRIES = "retries"
    TOOL_LOOP = "tool_loop"
    # Inferred from times.
    SLOW_CONNECTING = "slow_connecting"
    SLOW_CONSUMER = "slow_consumer"
    ONE_CALLER = "one_caller_holds_pool"
    SLOW_UPLOAD = "slow_upload"
    QUEUE_AT_PROVIDER = "queue_at_provider"
    SLOW_PROVIDER = "slow_provider"
    # Withholds those above that it can explain, and makes the following ones uncertain.
    BLOCKED_EVENT_LOOP = "blocked_event_loop"
    READ_TIMEOUT = "read_timeout"
    POOL_TOO_SMALL = "pool_too_small"
    CALLS_CUT_SHORT = "calls_cut_short"
    EXECUTOR_FULL = "executor_full"
    DESCRIPTORS_NEAR_LIMIT = "descriptors_near_limit"
    ANOMALY = "anomaly"
    # What calls suffer, where no other finding explains it.
    CALLS_FAILING = "calls_failing"
    CALLS_SILENT = "calls_silent"
    CALLS_SLOW = "calls_slow"
    CALLS_CANCELLED = "calls_cancelled"
    # States and settings.
    POOL_SATURATED = "pool_saturated"
    NOT_REUSED = "connections_not_reused"
    UNBOUNDED_POOL = "unbounded_pool"
    CAPACITY = "capacity"
    POOL_TIMEOUT = "pool_timeout"
    NO_READ_TIMEOUT = "no_read_timeout"
    IGNORED_VARIABLE = "ignored_variable"
    OUTSIDE_SCOPE = "requests_outside_scope"


UNEXPLAINED = (Kind.CALLS_FAILING, Kind.CALLS_SILENT, Kind.CALLS_SLOW, Kind.CALLS_CANCELLED)
"""Kinds that state what calls suffer, and not the cause."""


_HELD = (
    Kind.LEAK,
    Kind.HTTP2_STUCK,
    Kind.SILENT_CONNECTIONS,
    Kind.STALLED_STREAMS,
    Kind.SLOW_CONSUMER,
    Kind.ONE_CALLER,
    Kind.BLOCKED_EVENT_LOOP,
    Kind.EXECUTOR_FULL,
    Kind.DESCRIPTORS_NEAR_LIMIT,
    Kind.CHANNEL_NOT_READY,
    Kind.CALLS_SILENT,
    Kind.POOL_SATURATED,
)
"""Kinds that rest on something that is held now, such as an unread answer or a waiting request."""


PartKind = Literal["time", "step", "result", "manner"]
"""A stage or phase; a step of establishing a connection; a status or error type; the way in which
calls fail although their requests do not."""


class Part(NamedTuple):
    """A part of the account: where calls spend their time, or how they fail."""

    kind: PartKind
    name: str


def times(*names: str) -> frozenset[Part]:
    """Return stages or phases as parts."""
    return frozenset(Part("time", name) for name in names)


def steps(*names: str) -> frozenset[Part]:
    """Return steps of establishing a connection as parts."""
    return frozenset(Part("step", name) for name in names)


def results(*names: str) -> frozenset[Part]:
    """Return statuses or error types as parts."""
    return frozenset(Part("result", name) for name in names)


class Meaning(NamedTuple):
    """What a piece of evidence means, and what to do."""

    explanation: str
    advice: str


@dataclass(frozen=True, slots=True)
class Fact:
    """A number of some requests that have a call site or model in common."""

    name: str
    """Which requests, for example ``The overdue requests``."""
    value: int
    of: int
    model: str | None = None
    call_site: str | None = None

    @property
    def shared(self) -> str:
        return f"{self.value} of {self.of}{caller_text(self.model, self.call_site)}"

    def __str__(self) -> str:
        return f"{self.name}: {self.shared}."


def caller_text(model: str | None, call_site: str | None) -> str:
    """Return text on who makes calls, as far as it is known."""
    where = f" from {call_site_text(call_site)}" if call_site else ""
    return f"{where} ({one_line(model)})" if model else where


class Clause(NamedTuple):
    """A part of what a rule observed."""

    text: str
    counts: frozenset[int] = frozenset()
    """Numbers of calls or requests that it states, if it states nothing else."""


def observed_text(clauses: Iterable[Clause]) -> str:
    """Return the sentence of some clauses; empty without any."""
    text = "; ".join(clause.text for clause in clauses)
    return f"{text}." if text else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One cause or risk, with evidence and advice."""

    kind: Kind
    severity: Severity
    pool: str | None = None
    """Name and library of the pool, for example ``openai/httpx2``; None for the whole process."""
    library: str | None = None
    """HTTP library of the pool, for example ``httpx2``."""
    provider: str | None = None
    """any-llm's key of the provider, of a finding on calls; else None."""
    source: str | None = None
    """Where these calls are observed: ``gluellm``, ``any_llm`` or ``sdk``; else None."""
    observed: str
    """Evidence, with numbers. Begins with what calls suffer from it, if they do."""
    explanation: str
    """What the evidence means."""
    advice: str
    """What to do, in the terms of the pool's client or SDK."""
    evidence: tuple[Fact, ...] = ()
    """Call site and model of more than half of the requests concerned; empty if there is none."""
    clauses: tuple[Clause, ...] = ()
    """Parts of ``observed``, where some only state what an account of the calls states as well."""

    @property
    def held(self) -> bool:
        """Whether its evidence is held now, such as a connection, and not counted over minutes."""
        return self.kind in _HELD

    def to_dict(self) -> dict[str, Any]:
        """Return the fields for ``json.dumps``."""
        found = {**asdict(self), "evidence": [asdict(fact) for fact in self.evidence]}
        del found["clauses"]
        return found

    def __str__(self) -> str:
        where = f" in {one_line(self.pool)}" if self.pool else ""
        lines = [f"{self.severity.upper()}: {self.kind.replace('_', ' ')}{where}"]
        for name in ("observed", "evidence", "explanation", "advice"):
            its = getattr(self, name)
            text = its if isinstance(its, str) else " ".join(map(str, its))
            if not text:
                continue
            lines += wrapped(one_line(text, len(text)), f"  {name + ':':<13}", " " * 15)
        return "\n".join(lines)


def findings_text(findings: Sequence[Finding]) -> str:
    """Return the findings as text, each with its kind, observation, explanation and advice."""
    return "\n\n".join(map(str, findings)) or "no problem found"
