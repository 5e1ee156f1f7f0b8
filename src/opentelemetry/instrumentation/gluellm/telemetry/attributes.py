"""Attribute sets, built once and bounded in number.

Beyond 2 000 attribute sets, the SDK merges *all* series of an instrument into one overflow series.
So each histogram counts its sets against a lower bound, and merges only the sets beyond it.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from ..pool.call import CallLedger, CountedCall
from ..pool.durations import in_seconds
from ..pool.ledger import OriginLedger, Outcome, PoolLedger, PoolSeries
from ..pool.phases import PHASES, STEPS
from . import semconv

MAX_SETS = 1_000
"""Bound on the attribute sets of one histogram for the life of the process. In addition there are
at most two base sets for each of the 230 origin ledgers."""

Attributes = dict[str, Any]
_MILLISECOND = 10**6


class _Sets:
    """Attribute sets that have a base set in common."""

    __slots__ = ("_sets", "base")

    def __init__(self, base: Attributes) -> None:
        self.base = base
        self._sets: dict[tuple[str | None, ...], Attributes] = {}

    def _with(self, *pairs: str | None) -> Attributes:
        """Return the base set with further keys, each followed by its value (None: left out)."""
        found = self._sets.get(pairs)
        if found is None:
            further = zip(pairs[::2], pairs[1::2], strict=True)
            found = {
                **self.base,
                **{str(key): value for key, value in further if value is not None},
            }
            self._sets[pairs] = found
        return found


class PoolAttributes(_Sets):
    """The attribute sets of one pool name under one provider."""

    __slots__ = ()

    def of(self, key: str | None, value: str | None) -> Attributes:
        """Return the set with one more attribute; the base set if ``key`` or ``value`` is None."""
        return self.base if key is None else self._with(key, value)


def _of_name(ledger: PoolLedger, provider: str | None) -> Attributes:
    found = {semconv.POOL_NAME: ledger.name, semconv.POOL_LIBRARY: ledger.library}
    if provider is not None:
        found[semconv.PROVIDER_NAME] = semconv.registered_provider_name(provider)
    return found


class OriginAttributes:
    """The attribute sets of one pool name, origin and provider."""

    def __init__(self, ledger: OriginLedger) -> None:
        self.base = _of_name(ledger.pool, ledger.provider)
        self.base[semconv.SERVER_ADDRESS] = ledger.address
        if ledger.port is not None:
            self.base[semconv.SERVER_PORT] = ledger.port
        self.phases = [{**self.base, semconv.REQUEST_PHASE: phase} for phase in PHASES]
        self.steps = [{**self.base, semconv.CONNECTION_STEP: step} for step in STEPS]
        self.timeouts = {
            kind: {**self.base, semconv.TIMEOUT_KIND: kind} for kind in semconv.TIMEOUT_KINDS
        }
        self.connections = {
            (protocol, state): {
                **self.base,
                protocol_key(protocol): protocol,
                semconv.CONNECTION_STATE: state,
            }
            for protocol in (*semconv.PROTOCOL_VERSIONS, semconv.WEBSOCKET)
            for state in semconv.CONNECTION_STATES
        }
        self.streams = {**self.base, semconv.PROTOCOL_VERSION: "2"}
        self.requests: dict[Outcome, Attributes] = {}
        self.sets: dict[Hashable, Attributes] = {}
        self.time_reported = [0.0] * len(PHASES)
        """Last reported seconds of each phase."""
        self.set_up_reported = [0.0] * len(STEPS)
        """Last reported seconds of each step of set-ups."""

    def of_request(self, key: Outcome) -> Attributes:
        """Return the set for requests with one outcome."""
        found = self.requests.get(key)
        if found is None:
            status, error, resend = key
            found = dict(self.base)
            if isinstance(status, str):
                found[semconv.RPC_STATUS_CODE] = status
            elif status:
                found[semconv.STATUS_CODE] = status
            if error is not None:
                found[semconv.ERROR_TYPE] = error
            if resend:
                found[semconv.REQUEST_RESEND] = True
            self.requests[key] = found
        return found


class CallAttributes(_Sets):
    """The attribute sets of calls to one provider through one source."""

    __slots__ = ("stages",)

    def __init__(self, ledger: CallLedger) -> None:
        super().__init__({semconv.CALL_SOURCE: ledger.source})
        if ledger.provider is not None:
            name = semconv.registered_provider_name(ledger.provider)
            self.base[semconv.PROVIDER_NAME] = name
        self.stages = [{**self.base, semconv.CALL_STAGE: stage} for stage in semconv.STAGES]

    def outcome(self, operation: str, outcome: str) -> Attributes:
        """Return the set for ended calls of one operation."""
        return self._with(semconv.OPERATION_NAME, operation, semconv.CALL_OUTCOME, outcome)

    def error(self, error: str) -> Attributes:
        """Return the set for failed calls."""
        return self._with(semconv.ERROR_TYPE, error)

    def duration(self, operation: str, model: str | None) -> Attributes:
        """Return the set for the durations of calls."""
        return self._with(semconv.OPERATION_NAME, operation, semconv.REQUEST_MODEL, model)


def of_calls(ledger: CallLedger) -> CallAttributes:
    """Return the attribute sets of calls, stored in their ledger."""
    found: CallAttributes | None = ledger.attributes
    if found is None:
        found = ledger.attributes = CallAttributes(ledger)
    return found


def of_call(call: CountedCall) -> Attributes:
    """Return the attributes of a call that has ended, for spans."""
    found: Attributes = {} if call.ledger is None else dict(of_calls(call.ledger).base)
    found[semconv.OPERATION_NAME] = call.operation
    if call.model:
        found[semconv.REQUEST_MODEL] = call.model
    found[semconv.CALL_OUTCOME] = semconv.OUTCOMES[call.outcome]
    found[semconv.SPAN_CALL_RETRIES] = call.retries
    if call.error is not None:
        found[semconv.ERROR_TYPE] = call.error
    for stage, spent in zip(semconv.STAGES, call.spent, strict=True):
        if spent >= _MILLISECOND:
            found[semconv.SPAN_CALL_TIME.format(stage=stage)] = in_seconds(spent)
    for phase, time in (
        ("queued", call.queued),
        ("awaiting_response", call.awaiting_response),
    ):
        found[semconv.SPAN_CALL_REQUEST_TIME.format(phase=phase)] = in_seconds(time)
    return found


def protocol_key(protocol: object) -> str:
    """Return the key for a connection's protocol: version for HTTP, name for anything else."""
    other = protocol == semconv.WEBSOCKET
    return semconv.PROTOCOL_NAME if other else semconv.PROTOCOL_VERSION


def of_series(ledger: PoolLedger, series: PoolSeries) -> PoolAttributes:
    """Return the attribute sets of a pool name under one provider, stored in its series."""
    found: PoolAttributes | None = series.attributes
    if found is None:
        found = series.attributes = PoolAttributes(_of_name(ledger, series.provider))
    return found


def of_origin(ledger: OriginLedger) -> OriginAttributes:
    """Return the attribute sets of an origin, stored in its ledger."""
    found: OriginAttributes | None = ledger.attributes
    if found is None:
        found = ledger.attributes = OriginAttributes(ledger)
    return found


class HistogramAttributes:
    """The attribute sets of one histogram, at most ``MAX_SETS``."""

    __slots__ = ("_known", "_name")

    def __init__(self, name: str) -> None:
        self._name = name
        self._known = 0

    def of(
        self, ledger: OriginLedger, *, error: str | None = None, **further: str | bool | None
    ) -> Attributes:
        """Return the set for an origin, with an error and further attributes.

        Beyond the bound it is the origin's base set, with the error ``_OTHER`` if there is one.
        """
        attributes: OriginAttributes = ledger.attributes or of_origin(ledger)
        if error is None and not further:
            return attributes.base
        key = (self._name, error, *further.values())
        found = attributes.sets.get(key)
        if found is not None:
            return found
        if self._known >= MAX_SETS:
            if error is None:
                return attributes.base
            return {**attributes.base, semconv.ERROR_TYPE: semconv.OTHER}
        found = dict(attributes.base)
        if error is not None:
            found[semconv.ERROR_TYPE] = error
        for name, value in further.items():
            if value is not None:
                key_of = protocol_key(value) if name == "protocol" else _FURTHER[name]
                found[key_of] = value
        self._known += 1
        attributes.sets[key] = found
        return found


_FURTHER = {
    "question": semconv.DNS_QUESTION_NAME,
    "model": semconv.REQUEST_MODEL,
    "operation": semconv.OPERATION_NAME,
    "streaming": semconv.RESPONSE_STREAMING,
}
