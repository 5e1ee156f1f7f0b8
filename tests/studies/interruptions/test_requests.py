"""Sync requests, calls and collections: handlers that raise, send requests or take snapshots."""

import contextlib
import gc
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest
from any_llm import AnyLLM

from integration.process.requesting import LIBRARIES, Requesting
from opentelemetry.instrumentation.gluellm import diagnose, snapshot
from opentelemetry.instrumentation.gluellm.attribution.context import current_call
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.installation import installed
from support.script import Failure, Reply
from support.telemetry import Telemetry

from .interruption import assert_reached, everywhere, raising, reached

everywhere_in_our_code = pytest.mark.skipif(
    not hasattr(sys, "monitoring"), reason="sys.monitoring is new in Python 3.12"
)


class CtrlCError(BaseException):
    """Stands for KeyboardInterrupt, which would end the test run."""


class TimeIsUpError(Exception):
    """What a handler for SIGALRM raises to limit the time of a program."""


REPLIES = {
    "answered": Reply(chunks=((0, b"o"), (0, b"k"))),
    "broken off": Reply(failure=Failure.EOF_BEFORE_HEAD),
    "broken off in its body": Reply(failure=Failure.RESET_IN_BODY),
}


def assert_nothing_left(pool: Requesting | None, place: str) -> None:
    """Assert that only responses lost by the library have leases, and no connection counts."""
    registry = installed().registry
    held = 0 if pool is None else pool.held()
    trackers = [tracker for tracker in registry.trackers.values() if tracker.view() is not None]
    leases = [lease for tracker in trackers for lease in tracker.leases]
    assert len(leases) <= held, place
    assert len(trackers) <= (pool is not None), place
    assert not registry.failures.counts, place
    for ledger in registry.ledgers.pools.values():
        assert not ledger.queued.value, place
        assert ledger.active.value <= held, place
        assert ledger.live <= (pool is not None), place


def assert_balanced(telemetry: Telemetry) -> None:
    """Assert that each request that entered a pool has left it, and none is in flight."""
    gc.collect()
    telemetry.collect()
    assert telemetry.value(semconv.ACTIVE_REQUESTS) == 0
    for totals in installed().snapshot().totals:
        for origin in totals.origins:
            assert sum(outcome.count for outcome in origin.outcomes) == origin.requests_entered
    assert telemetry.value(semconv.INSTRUMENTATION_ERRORS) == 0


@everywhere_in_our_code
@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize(
    ("first", "reply", "error", "begin"),
    [
        (True, "answered", CtrlCError, 1),
        (True, "answered", TimeIsUpError, 2),
        (False, "answered", CtrlCError, 1),
        (False, "answered", TimeIsUpError, 2),
        (False, "broken off", TimeIsUpError, 1),
        (False, "broken off in its body", CtrlCError, 2),
    ],
)
def test_signal_handlers_exception_reaches_the_program(
    first, error, library, reply, begin, server, telemetry
):
    """Every second point of the code is interrupted, in a first and in a later request."""
    url = server.reply("/", REPLIES[reply])
    least = 50 if first else 15
    for interruption in everywhere(raising(error), first=begin, step=2, least=least):
        pool = Requesting.of(library, url)
        if not first:
            _try(pool.send)
        met = False
        try:
            met = reached(interruption, error, pool.stream)
        except Exception:
            assert reply != "answered", interruption.place
        assert met == bool(interruption.place), f"swallowed: {interruption.place}"
        assert_nothing_left(pool, interruption.place)
        _try(pool.send)
        assert_nothing_left(pool, interruption.place)
        pool.close()
    assert_balanced(telemetry)


class Answering(AnyLLM):
    """A provider that answers at once."""

    PROVIDER_NAME = "answering"
    SUPPORTS_COMPLETION = True

    async def _acompletion(self, params: Any, **_kwargs: Any) -> Any:
        return params.model_id

    def _init_client(self, *_args: Any, **_kwargs: Any) -> None:
        return None

    def _verify_no_api_key(self, *_args: Any) -> None:
        return None


Answering.__abstractmethods__ = frozenset()  # conversions that no call here needs


@everywhere_in_our_code
@pytest.mark.parametrize("error", [CtrlCError, TimeIsUpError])
def test_signal_handlers_exception_reaches_the_caller_of_any_llm(error, telemetry):
    """The code around a provider's constructor and its calls is interrupted."""

    def ask() -> None:
        llm = Answering(api_key="none")  # type: ignore[abstract]
        call = llm.acompletion("model", [{"role": "user", "content": "hi"}])
        with pytest.raises(StopIteration, match="model"):
            call.send(None)

    for interruption in everywhere(raising(error), least=15):
        assert_reached(interruption, error, ask)
        left = current_call.get()
        what = f"further requests would be its own: {interruption.place}"
        assert left is None or left.ended, what
        assert not installed().registry.calls.live, f"a call would never end: {interruption.place}"
    assert telemetry.value(semconv.INSTRUMENTATION_ERRORS) == 0


@everywhere_in_our_code
@pytest.mark.parametrize("library", LIBRARIES)
def test_signal_handler_can_send_and_take_a_snapshot_anywhere(library, server, telemetry):
    """Every third point of the instrumentation's code is interrupted.

    With urllib3 the handler uses the same pool. A pool of httpcore holds a non-reentrant lock while
    it assigns connections, so there the handler uses another pool. A request is counted, unless the
    handler sends it during the very first request of its pool.
    """
    url = server.reply("/", REPLIES["answered"])
    pool = other = Requesting.of(library, url)
    handled = unseen = places = 0

    def handle(_number: int, _frame: FrameType | None) -> None:
        nonlocal handled
        (pool if library == "urllib3" else other).send()
        diagnose(snapshot())
        handled += 1

    for interruption in everywhere(handle, step=3):
        pool = Requesting.of(library, url)
        before = _entered()
        with interruption:
            pool.stream()
        unseen += 1 + bool(interruption.place) - (_entered() - before)
        pool.close()
        assert_nothing_left(other, interruption.place)
        places += 1
    other.close()
    assert handled == places - 1 > 30
    # Requests sent while the package begins to track a pool aren't counted; they must stay few.
    assert 0 <= unseen < places / 2
    assert_balanced(telemetry)


@everywhere_in_our_code
@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("work", ["collect", "diagnose"])
def test_signal_handler_may_send_and_collect_during_a_collection(work, library, server, telemetry):
    """A collection, a snapshot and its diagnosis may be interrupted anywhere as well."""
    pool = Requesting.of(library, server.reply("/", REPLIES["answered"]))
    handled = 0

    def handle(_number: int, _frame: FrameType | None) -> None:
        nonlocal handled
        pool.send()
        diagnose(snapshot())
        handled += 1

    pool.send()
    for interruption in everywhere(handle, step=31):
        # Each snapshot reads what is not exported yet. It must not grow during the study.
        telemetry.collect()
        with interruption:
            if work == "collect":
                telemetry.collect()
            else:
                diagnose(snapshot())
        assert_nothing_left(pool, interruption.place)
    pool.close()
    assert handled > 5
    assert telemetry.value(semconv.REQUESTS) == handled + 1
    assert telemetry.count(semconv.LEASE_DURATION) == handled + 1
    assert_balanced(telemetry)


def _entered() -> int:
    return sum(
        origin.entered
        for ledger in installed().registry.ledgers.pools.values()
        for origin in ledger.origins.values()
    )


def _try(send: Callable[[], None]) -> None:
    with contextlib.suppress(Exception):
        send()
