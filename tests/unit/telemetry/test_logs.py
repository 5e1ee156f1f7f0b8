"""Log lines on findings of the watch: limited in number, with correct numbers."""

import logging
from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry.trace import SpanContext

from opentelemetry.instrumentation.gluellm.pool.call import Call
from opentelemetry.instrumentation.gluellm.pool.call_site import CallSite, find
from opentelemetry.instrumentation.gluellm.pool.lease import Lease
from opentelemetry.instrumentation.gluellm.telemetry import logs
from opentelemetry.instrumentation.gluellm.telemetry.logs import WatchObserver
from opentelemetry.instrumentation.gluellm.telemetry.semconv import SCOPE_NAME
from opentelemetry.instrumentation.gluellm.vocabulary import READING, UNREAD
from opentelemetry.instrumentation.gluellm.watch.watch import Watch
from unit.pool.fakes import FakePool, Scene

Log = pytest.LogCaptureFixture


def has(line: str, *parts: str) -> bool:
    return all(part in line for part in parts)


class Logged:
    """A pool, a watch whose passes a test runs, and its log lines."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self.scene = Scene(WatchObserver())
        self.watch = Watch(self.scene.registry, leak_threshold=60, loop_lag=None)

    def leak(self, call_site: CallSite | None, provider: str = "groq", **further: Any) -> Lease:
        """A response that is not read."""
        lease = self.scene.enter(Call(provider, call_site=call_site, **further))
        connection = self.scene.connection(established=True)
        connection.reports_reads = True
        self.scene.tracker.assigned(lease, connection)
        self.scene.tracker.answered(lease, 200)
        return lease

    def look(self, after: float = 0.0) -> None:
        """Run two passes after these seconds: a leak is logged with those of the next pass."""
        self.scene.clock.advance(after)
        self.watch.run_pass()
        self.watch.run_pass()

    def lines(self, level: int = logging.WARNING) -> list[str]:
        """Lines that were logged at a level."""
        return [
            record.getMessage()
            for record in self._log.records
            if record.name == SCOPE_NAME and record.levelno == level
        ]


@pytest.fixture
def logged(caplog: Log) -> Logged:
    """Everything from INFO on is kept."""
    caplog.set_level(logging.INFO, SCOPE_NAME)
    return Logged(caplog)


def here() -> CallSite:
    """A call site in this file, always the same."""
    return find()


def call_sites(number: int) -> list[CallSite]:
    """Different call sites."""
    code = here().code
    return [CallSite(code.replace(co_firstlineno=line), 0) for line in range(1, number + 1)]


# Leaks


def test_leak_is_logged_with_all_that_is_known(logged):
    """Pool, times, provider, model, trace, id, call site, number and advice."""
    lease = logged.leak(here(), model="llama", correlation_id="id-1")
    lease.observed = SpanContext(0xABC, 1, is_remote=False)
    logged.scene.clock.advance(5)
    lease.enter(READING, logged.scene.clock())
    lease.enter(UNREAD, logged.scene.clock())
    logged.look(61)
    (line,) = logged.lines()
    assert has(
        line,
        "leak suspected in pool openai/httpx2",
        "the response has been unread for 61 s",
        "held for 66 s",
        "provider groq, model llama, trace " + "0" * 29 + "abc, correlation id id-1",
        f"at {__file__}:",
        "in here",
        "call site: 1.",
        "Read the stream to its end, or close it.",
    )


def test_leaks_of_one_call_site_are_logged_on_one_line(logged):
    """The line has their number and the longest-held.

    Streams of a gather() cross the threshold one after the other within a moment; they are logged
    together.
    """
    for _ in range(100):
        logged.leak(here())
        logged.scene.clock.advance(0.1)
    logged.scene.clock.advance(50)
    logged.watch.run_pass()
    assert not logged.lines()
    logged.scene.clock.advance(10)
    logged.watch.run_pass()
    (line,) = logged.lines()
    assert "call site: 100." in line
    assert "held for 70 s" in line


def test_one_call_site_is_logged_once_in_ten_minutes(logged):
    """Leaks in between are counted for the next line."""
    logged.leak(here())
    logged.look(60)
    for _ in range(9):
        logged.leak(here())
        logged.look(60)
    assert len(logged.lines()) == 1
    logged.look(60)
    assert len(logged.lines()) == 2
    assert "call site: 9." in logged.lines()[1]
    logged.look(3600)
    assert len(logged.lines()) == 2  # nothing new


@pytest.mark.parametrize(
    ("number", "last"), [(3, "provider groq)"), (10, "call site: 7.")], ids=["few", "many"]
)
def test_each_call_site_is_logged_within_a_bound(logged, monkeypatch, number, last):
    """Unknown call sites are one; all beyond the bound are logged together."""
    monkeypatch.setattr(logs, "_MOST_CALL_SITES", 3 if number == 10 else 100)
    for call_site in (*call_sites(number), *([None] if number == 3 else [])):
        logged.leak(call_site)
    logged.look(60)
    assert len(logged.lines()) == 4
    assert last in logged.lines()[3]


@pytest.mark.parametrize("goes_on", [False, True])
def test_leak_that_was_released_before_it_was_logged_has_no_age(logged, goes_on):
    """Its call site was just logged; ten minutes later its numbers would be wrong.

    Of several unlogged leaks, one that is still open is logged.
    """
    logged.leak(here())
    logged.look(60)
    over = logged.leak(here())
    logged.look(60)
    logged.scene.tracker.released(over)
    logged.look(1)
    if goes_on:
        logged.leak(here())
        logged.look(60)
    logged.look(600)
    (_, line) = logged.lines()
    if goes_on:
        assert has(line, "call site: 2.", "the response has been unread for 660 s")
    else:
        assert has(line, "call site: 1.", "has since been released")
        assert "661" not in line


ENDS: dict[str, Callable[[Logged, Lease], object]] = {
    "its connection was released": lambda logged, lease: logged.scene.tracker.released(lease),
    "its response is read again": lambda logged, lease: lease.enter(READING, logged.scene.clock()),
    "its connection was closed with": lambda logged, lease: logged.scene.tracker.discard("closed"),
}


@pytest.mark.parametrize("how", ENDS)
def test_leak_that_is_released_is_logged_as_information(logged, how):
    """The line has the time that it was held."""
    lease = logged.leak(here())
    logged.look(60)
    logged.scene.clock.advance(30)
    ENDS[how](logged, lease)
    logged.look()
    (line,) = logged.lines(logging.INFO)
    for part in (how, "after 90 s", f"at {__file__}:"):
        assert part in line


# Text from outside


def test_text_from_outside_stays_on_one_line(logged):
    """A model's name, an id, a provider's name and a pool's can be any text."""
    evil = "x\nERROR root: forged\r\x1b[2J\u2028"
    pool = FakePool()
    logged.scene.pool, logged.scene.tracker = pool, logged.scene.track(pool, evil, evil)
    lease = logged.leak(here(), evil, model=evil, correlation_id=evil)
    logged.look(60)
    logged.scene.tracker.released(lease)
    logged.look()
    lines = [*logged.lines(), *logged.lines(logging.INFO)]
    assert len(lines) == 2
    assert all(line.isprintable() for line in lines), lines


def test_file_name_from_outside_stays_on_one_line(logged):
    """Code can be compiled under any name."""
    space = {"find": find}
    exec(compile("place = find(); whole = find(whole=True)", "/srv/a\nb.py", "exec"), space)
    logged.leak(space["place"])
    logged.look(60)
    assert "/srv/a?b.py:1" in logged.lines()[0]
    assert "\n" not in logged.lines()[0]
    whole = Logged(logged._log)
    whole.leak(space["whole"])
    whole.look(60)
    assert whole.lines()[1].splitlines()[1].startswith("  /srv/a?b.py:1")
