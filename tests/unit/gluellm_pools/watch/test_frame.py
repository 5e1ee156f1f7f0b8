"""Processes with problems are visible on a terminal that is too small for all."""

import pytest

from gluellm_pools.watch.show import process_lines
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.otlp import gauge, metrics_request, number

from .test_show import drawn
from .watched import Watched

SICK = 4
"""Which of the processes."""


def shop(watched: Watched, leaks: int = 3, waiting: float = 0.0) -> None:
    """Seven processes, of which the fifth has leaks, or requests that wait."""
    for n in range(7):
        now = [
            number(semconv.REQUEST_CURRENT, 2, monotonic=False, gluellm__request__phase=phase)
            for phase in ("queued", "awaiting_response", "unread")
        ]
        sick = [
            number(semconv.LEAK_SUSPECTED, leaks, monotonic=False),
            gauge(semconv.REQUEST_OLDEST_AGE, waiting, gluellm__request__phase="queued"),
        ]
        metrics = [number(semconv.REQUESTS, 5), *now, *(sick if n == SICK else [])]
        watched.intake.take(metrics_request(*metrics, service__instance__id=f"worker-{n}"))


@pytest.mark.parametrize("height", [12, 18, 24, 40])
@pytest.mark.parametrize(
    ("leaks", "waiting", "seen"), [(3, 0.0, "leaks suspected 3"), (0, 4.0, "oldest waiter 4.0 s")]
)
def test_process_with_a_problem_is_first_and_in_full(height, leaks, waiting, seen):
    """Other lines are cut for it; the cut lines and processes are counted."""
    watched = Watched(80, height)
    shop(watched, leaks, waiting)
    lines = drawn(watched)
    assert lines[0].startswith("shop (worker-4), heard")
    assert any("requests now" in line for line in lines[:8])
    assert any(seen in line for line in lines[:8])
    if leaks:
        assert any("gluellm-pools doctor names the line" in line for line in lines[:9])
    assert len(lines) < height
    assert ("more line" in "".join(lines)) == (height < 24)


def test_processes_keep_their_positions_between_exports():
    """A longer wait or a second leak does not move a process."""
    watched = Watched(100, 100)
    places = []
    for waiting, leaks in ((3.0, 0), (1.2, 0), (5.0, 0), (5.0, 1), (0.0, 4)):
        shop(watched, leaks, waiting)
        places.append([line.split(",")[0] for line in drawn(watched) if line.startswith("shop")])
    assert places[0] == [f"shop (worker-{n})" for n in (4, 0, 1, 2, 3, 5, 6)]
    assert all(place == places[0] for place in places)


def test_a_short_line_begins_with_what_is_wrong():
    """It is cut at its end, and what the numbers mean is below it."""
    watched = Watched(70, 14)
    shop(watched)
    watched.intake.take(
        metrics_request(
            number(semconv.REQUESTS, 5),
            number(semconv.LEAK_SUSPECTED, 2, monotonic=False),
            number(semconv.TIMEOUTS, 6, gluellm__timeout__kind="pool"),
            service__instance__id="worker-5",
        )
    )
    lines = drawn(watched)
    assert lines[0].startswith("shop (worker-5)")
    second = lines.index(next(line for line in lines if "worker-4" in line))
    assert lines[second + 1].startswith("openai/httpx2: leaks suspected 3; 0 active; now 2 queued")
    assert lines[second + 2].startswith("  means: answers that nobody reads")


def test_silent_process_has_no_verdict():
    """Its state is unknown; it is listed below the others."""
    watched = Watched(100, 40)
    shop(watched)
    watched.now += 200
    watched.export("openai", service__instance__id="worker-6")
    lines = drawn(watched)
    assert lines[0].startswith("shop (worker-6)")
    assert not any("means" in line for line in lines)


def test_sick_pools_come_first_in_their_process_and_at_length_before_healthy_ones_of_others():
    """Eight lines of one healthy pool are no use beside a sick one in a line."""
    watched = Watched(100, 24)
    for n in range(2):
        leak = number(semconv.LEAK_SUSPECTED, 1, monotonic=False, gluellm__pool__name="z")
        metrics = [number(semconv.REQUESTS, 5, gluellm__pool__name=name) for name in ("a", "z")]
        watched.intake.take(metrics_request(*metrics, leak, service__instance__id=f"worker-{n}"))
    lines = drawn(watched)
    assert [line.split("/")[0] for line in lines if "/httpx2" in line] == ["z", "a", "z", "a"]
    assert [line[:2] for line in lines if "/httpx2  " in line] == ["z/", "z/"]
    told = process_lines(next(iter(watched.intake.processes)))
    assert [line.strip()[:2] for line in told[1:]] == ["z/", "a/"]


def test_lines_that_are_cut_are_counted():
    """A heading of two lines is two."""
    watched = Watched(40, 10)
    for n in range(5):
        watched.export("openai", service__instance__id=f"worker-{n}")
    lines = drawn(watched)
    assert len(lines) == 9
    assert lines[-1].startswith("7 more lines of 3 processes")
