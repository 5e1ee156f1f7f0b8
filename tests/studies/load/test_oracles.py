"""The oracles of the load studies."""

from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor
from opentelemetry.instrumentation.gluellm.concurrency import snapshot_of
from opentelemetry.instrumentation.gluellm.pool.lease import Lease
from opentelemetry.instrumentation.gluellm.pool.tracker import PoolTracker
from opentelemetry.instrumentation.gluellm.vocabulary import AWAITING_RESPONSE
from studies.load.growth import Growth
from studies.load.reading import Choices
from studies.load.saturation import Load
from studies.load.soak import record
from studies.load.truth.requests import Pool
from studies.load.truth.rounds import held_round
from studies.load.truth.world import Measures, MismatchError, World


def _raised(call: Any) -> Exception:
    with pytest.raises((TypeError, OSError)) as caught:
        call()
    return caught.value


def test_growth_is_distinguished_from_noise() -> None:
    """A peak is no growth; a slope is."""
    peaks = [100.0, 140, 101, 99, 100, 150, 100, 101, 99, 100, 100, 180, 101, 100, 99, 100]
    for values, is_flat in ((peaks, True), ([100.0 + number for number in range(16)], False)):
        growth = Growth(None)  # type: ignore[arg-type]
        growth.samples = [SimpleNamespace(blocks=value) for value in values]  # type: ignore[misc]
        assert (growth.judge({"blocks": (0.05, 1)}) == []) is is_flat


def test_each_request_takes_one_of_the_reported_values() -> None:
    """Values reported too often or too rarely remain, however the choices are made."""
    choices = Choices(map(frozenset, ("a", "ab", "ab")))
    assert not choices.difference(Counter(a=1, b=2))
    assert choices.difference(Counter(a=1, b=3)) == {"b": 1}
    assert choices.difference(Counter(b=2)) == {"a": -1}


@pytest.mark.parametrize(
    ("phases", "begin", "is_wrong"),
    [
        ({"reading": 2, "queued": 1}, 5.0, False),
        ({"reading": 3, "queued": 1}, 5.0, True),  # more than connections
        ({"reading": 2}, 5.0, True),
        ({"reading": 2}, 1.02, False),  # the request came just before
        ({"reading": 2}, 8.97, False),  # the server got it just after
    ],
)
def test_reading_is_wrong_with_too_many_holders_or_without_waiters(
    phases: dict[str, int], begin: float, is_wrong: bool
) -> None:
    """From 1 s to 9 s one request waits while two others hold the two connections."""
    load = Load("", 2, [(begin, begin, Counter(phases), 2)])
    load.entered = {"/one": 0.0, "/other": 0.5, "/waits": 1.0}
    load.served = {"/one": 0.1, "/other": 0.6, "/waits": 9.0}
    assert bool(load.wrong()) is is_wrong


def _hold_a_crowd() -> Measures:
    measures = Measures()
    with World.start("httpx", "asyncio", measures, seed=1, slack=10.0, crowd=5) as world:
        chance = world.begin("1.1")
        world.pools = [Pool.make(world.library, world.runner, world.context, chance, None)]
        held_round(world)
    return measures


def test_reports_on_crowded_pools_are_true() -> None:
    """All requests are served or fail as planned, and each phase is compared."""
    measures = _hold_a_crowd()
    assert measures.requests.total() >= 20
    assert measures.compared["requests by phase"] > 5


def test_waiting_requests_that_are_counted_as_sent_are_detected(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The study detects the defect that it was written for."""

    def waiting(self: PoolTracker, lease: Lease, _: float | None = None) -> None:
        lease.enter(AWAITING_RESPONSE, self.clock())

    monkeypatch.setattr(PoolTracker, "waiting", waiting)
    with pytest.raises(MismatchError, match="what is reported is not the truth"):
        _hold_a_crowd()


def test_exception_raised_in_the_package_is_its_own() -> None:
    """So are causes of other exceptions; exceptions that only pass through are not."""
    own = _raised(lambda: GlueLLMInstrumentor.instrument_client(object()))

    def fails() -> list[object]:
        raise OSError("not of the package")

    passed = _raised(lambda: snapshot_of(fails))
    later = ValueError("later")
    later.__cause__ = own
    assert record.raised_by_package(later)
    assert not record.raised_by_package(passed)
