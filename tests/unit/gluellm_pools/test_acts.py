"""The demo's plan, its evidence, and its texts on callers and faults."""

import logging
import time

import pytest

from gluellm_pools.demo import faults
from gluellm_pools.demo.acts import SCENARIOS, STORY
from gluellm_pools.demo.evidence import holds
from gluellm_pools.demo.logs import Logs
from gluellm_pools.demo.verdict import Symptoms, cause_of, explanation, short
from gluellm_pools.view import CallKey, PoolKey, ShownFinding, View
from opentelemetry.instrumentation.gluellm.telemetry import semconv


@pytest.mark.parametrize("name", SCENARIOS)
def test_act_needs_evidence_and_all_but_healthy_a_finding(name):
    """A view without numbers is no evidence."""
    assert not holds(SCENARIOS[name].evidence, {})
    assert bool(SCENARIOS[name].finding) is (name != "healthy")


def test_four_acts_by_default():
    names = [act.name for act in STORY if act.by_default]
    assert names == ["healthy", "saturated", "slow", "leak"]


POOL, CALLS = PoolKey("openai", "httpx2"), CallKey("openai", "any_llm")


def cause(*findings: ShownFinding, judgements: int = 1, expected: tuple[str, ...] = ()) -> str:
    view = View(judgements=judgements, findings={POOL: [*findings], CALLS: []})
    return cause_of(view, (POOL, CALLS, None), expected).text


def test_cause_is_the_worst_finding_of_the_process():
    """Of several, it is one that the act expects. Until the first judgement, it is unknown."""
    stuck, leak = ShownFinding("error", "http2_stuck", "4 of 4."), ShownFinding("error", "leak")
    retries = ShownFinding("warning", "retries")
    assert cause(judgements=0) == "not judged yet"
    assert cause() == "nobody: the process has no finding"
    assert cause(stuck, retries) == "the HTTP library: http2 stuck: 4 of 4."
    assert cause(leak, stuck, expected=("http2_stuck",)).startswith("the HTTP library: ")
    assert cause(leak, retries, expected=("retries",)) == "the program: leak"
    assert cause(ShownFinding("error", "calls_failing")) == "calls failing"


def test_callers_see_rounded_times_and_the_most_frequent_error():
    """Only the last seconds count, so that an act ends with its last symptom."""
    tally, now = Symptoms(), time.monotonic() + 30.0  # so that none grows old in the test
    tally.recent.append((now - 60.0, 9.0, "old"))
    assert tally.text("openai") == ("no call to openai has ended recently", "")
    tally.recent.append((now, 0.21, ""))
    assert tally.text("openai") == ("calls to openai now take ~0.2 s, and none fails", "")
    tally.recent += [(now, 1.2, "late"), (now, 1.2, "late"), (now, 1.3, "other")]
    assert tally.text("openai") == ("calls to openai now take ~1 s, and some fail: late", "late")
    del tally.recent[1]
    assert tally.text("openai")[0] == "calls to openai now take ~1 s, and all fail: late"


def test_paths_begin_with_the_package():
    """Wherever it is installed, and also if the front of the path was cut off."""
    text = f"held at {faults.__file__}:68 in f; ...ges/gluellm_pools/demo/load.py:9 in g"
    shown = "held at gluellm_pools/demo/faults.py:68 in f; gluellm_pools/demo/load.py:9 in g"
    assert short(text, 100) == shown


def test_an_exception_is_shown_with_its_causes_and_notes():
    """The outermost comes first, as in a log. Exceptions without a note are left out."""
    cause = TimeoutError()
    try:
        try:
            raise cause
        except TimeoutError as error:
            raise ValueError("late") from error
    except ValueError as error:
        caught = error
    assert explanation(caught) == []
    cause.add_note("max 4")
    assert explanation(caught) == ["ValueError: late <- TimeoutError", "max 4"]


def test_warnings_are_kept_until_they_are_shown():
    """Those of the instrumentation are listed one by one, equal ones of others once."""
    logs = Logs()

    def log(name: str, message: str, **attributes: str) -> None:
        record = logging.LogRecord(name, 30, "", 0, message, (), None)
        vars(record).update(attributes)
        logs.handle(record)

    ours = "opentelemetry.instrumentation.gluellm"
    log(ours, "A leak")
    kind = {semconv.FINDING_KIND: "leak", semconv.POOL_NAME: "openai"}
    named = {**kind, semconv.POOL_LIBRARY: "httpx2"}
    log(ours, "Finding (error, PID 7): leak in openai/httpx2: 4 of 4\nERROR: leak", **named)
    for message in ("down: x", "down: x", "up: x"):
        log("other", message)
    found = "WARNING Finding (error, PID 7): leak in openai/httpx2: 4 of 4\nERROR: leak"
    assert (logs.leaks, logs.take(), logs.take()) == (1, ["WARNING A leak", found], [])
    assert logs.evidence == {(POOL, "leak"): "4 of 4"}
    assert logs.others() == ["2 x WARNING other: down: x", "WARNING other: up: x"]
