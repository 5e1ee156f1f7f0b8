"""The demo's plan, its evidence, and its texts on callers and faults."""

import logging
import time

import pytest

from gluellm_diagnosis.findings import Finding, Kind, Severity
from gluellm_pools.demo import faults
from gluellm_pools.demo.acts import SCENARIOS, STORY, acts_to_play, plan
from gluellm_pools.demo.evidence import holds
from gluellm_pools.demo.logs import Logs
from gluellm_pools.demo.verdict import Symptoms, cause_of, explanation, short
from gluellm_pools.verdicts import CallsVerdict


def test_four_acts_by_default_and_every_act_on_demand():
    """Equal shares of the time, but no act gets less than it needs."""
    names = [act.name for act in acts_to_play()]
    assert names == ["healthy", "saturated", "slow", "leak"]
    assert acts_to_play(every=True) == list(STORY)
    assert [seconds for _, seconds in plan(acts_to_play(), 48.0)] == [12.0] * 4
    assert [seconds for _, seconds in plan(STORY, 1.0)] == [act.shortest for act in STORY]


@pytest.mark.parametrize("name", SCENARIOS)
def test_scenario_follows_its_dependency_and_needs_evidence(name):
    """A view without numbers is no evidence."""
    before = {"recovery": ["failures"], "slow": ["healthy"]}.get(name, [])
    assert [act.name for act in acts_to_play(name)] == [*before, name]
    assert not holds(SCENARIOS[name].evidence, {})


def test_cause_is_what_diagnose_finds_and_otherwise_what_the_calls_show():
    """A verdict without an owner is no cause."""
    texts = {"observed": "4 of 4.", "explanation": "Held.", "advice": "Close."}
    finding = Finding(kind=Kind.HTTP2_STUCK, severity=Severity.ERROR, **texts)
    retries = CallsVerdict("4 calls wait to retry", "the provider")
    library = "the HTTP library"
    assert cause_of(finding, retries, "late") == (
        f"{library}: http2 stuck. 4 of 4.",
        library,
        "Close.",
    )
    text = "the provider. 4 calls wait to retry."
    assert cause_of(None, retries, "late") == (text, "the provider", "")
    for calls in (None, CallsVerdict("9 of 9 calls fail", "")):
        assert cause_of(None, calls, "late") == ("not known yet", "", "")
        assert cause_of(None, calls, "").text.startswith("nobody: ")


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
    ours = logging.LogRecord("opentelemetry.instrumentation.gluellm", 30, "", 0, "A leak", (), None)
    logs.handle(ours)
    for message in ("down: %s", "down: %s", "up: %s"):
        logs.handle(logging.LogRecord("other", 30, "", 0, message, ("x",), None))
    assert (logs.leaks, logs.take(), logs.take()) == (1, ["WARNING A leak"], [])
    assert logs.others() == ["2 x WARNING other: down: x", "WARNING other: up: x"]
