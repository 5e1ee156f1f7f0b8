"""Attribute sets, built once and bounded in number.

Beyond 2 000 attribute sets, the SDK merges *all* series of an instrument into one overflow series.
So each histogram counts its sets against a lower bound, and merges only the sets beyond it.
"""

from __future__ import annotations

from typing import Any

from ..pool.call import CallLedger, CountedCall
from ..pool.durations import in_seconds
from ..pool.ledger import OriginLedger, Outcome, PoolLedger, PoolSeries
from ..vocabulary import PHASES, STEPS
from . import semconv

MAX_SETS = 1_000
"""Bound on the attribute sets of one histogram for the life of the process. In addition there are
at most two base sets for each of the 230 origin ledgers."""

Attributes = dict[str, Any]
_MILLISECOND = 10**6


class AttributeSets:
    """The attribute sets with one base set in common, each built once."""

    __slots__ = ("_sets", "base")

    def __init__(self, base: Attributes) -> None:
        self.base = base
        self._sets: dict[tuple[Any, ...], Attributes] = {(): base}

    def of(self, *pairs: Any) -> Attributes:
        """Return the base set with further keys, each followed by its value (None: left out)."""
        found = self._sets.get(pairs)
        if found is None:
            further = zip(pairs[::2], pairs[1::2], strict=True)
            found = {**self.base, **{key: value for key, value in further if value is not None}}
            self._sets[pairs] = found
        return found


class OriginAttributes(AttributeSets):
    """The attribute sets of one pool name, origin and provider."""

    __slots__ = ("counted", "set_up_reported", "time_reported")

    def __init__(self, ledger: OriginLedger) -> None:
        super().__init__(_of_name(ledger.pool, ledger.provider))
        self.base[semconv.SERVER_ADDRESS] = ledger.address
        if ledger.port is not None:
            self.base[semconv.SERVER_PORT] = ledger.port
        self.counted: set[tuple[Any, ...]] = set()
        """Attribute sets of histograms that count against their bound."""
        self.time_reported = [0.0] * len(PHASES)
        """Last reported seconds of each phase."""
        self.set_up_reported = [0.0] * len(STEPS)
        """Last reported seconds of each step of set-ups."""

    def of_request(self, outcome: Outcome) -> Attributes:
        """Return the set for requests with one outcome."""
        status, error, resend = outcome
        key = semconv.RPC_STATUS_CODE if isinstance(status, str) else semconv.STATUS_CODE
        resent = (semconv.REQUEST_RESEND, resend or None)
        return self.of(key, status or None, semconv.ERROR_TYPE, error, *resent)


def _of_name(ledger: PoolLedger, provider: str | None) -> Attributes:
    found = {semconv.POOL_NAME: ledger.name, semconv.POOL_LIBRARY: ledger.library}
    if provider is not None:
        found[semconv.PROVIDER_NAME] = semconv.registered_provider_name(provider)
    return found


def of_calls(ledger: CallLedger) -> AttributeSets:
    """Return the attribute sets of calls, stored in their ledger."""
    found: AttributeSets | None = ledger.attributes
    if found is None:
        base: Attributes = {semconv.CALL_SOURCE: ledger.source}
        if ledger.provider is not None:
            base[semconv.PROVIDER_NAME] = semconv.registered_provider_name(ledger.provider)
        found = ledger.attributes = AttributeSets(base)
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
    time_in = semconv.SPAN_CALL_REQUEST_TIME.format
    found[time_in(phase="queued")] = in_seconds(call.queued)
    found[time_in(phase="awaiting_response")] = in_seconds(call.awaiting_response)
    return found


def protocol_key(protocol: object) -> str:
    """Return the key for a connection's protocol: version for HTTP, name for anything else."""
    other = protocol == semconv.WEBSOCKET
    return semconv.PROTOCOL_NAME if other else semconv.PROTOCOL_VERSION


def of_series(ledger: PoolLedger, series: PoolSeries) -> AttributeSets:
    """Return the attribute sets of a pool name under one provider, stored in its series."""
    found: AttributeSets | None = series.attributes
    if found is None:
        found = series.attributes = AttributeSets(_of_name(ledger, series.provider))
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

    def of(self, ledger: OriginLedger, error: str | None = None, *pairs: Any) -> Attributes:
        """Return the set for an origin, with an error and further keys as in `AttributeSets.of`.

        Beyond the bound it is the origin's base set, with the error ``_OTHER`` if there is one.
        """
        attributes: OriginAttributes = ledger.attributes or of_origin(ledger)
        if error is None and not pairs:
            return attributes.base
        key = (self._name, error, *pairs)
        if key not in attributes.counted:
            if self._known >= MAX_SETS:
                return attributes.of(semconv.ERROR_TYPE, error and semconv.OTHER)
            self._known += 1
            attributes.counted.add(key)
        return attributes.of(semconv.ERROR_TYPE, error, *pairs)
