"""The catalogue is complete, and what was reported is judged as it should be."""

import pytest

from gluellm_dashboards.rules import groups
from incidents.recordings import recordings

from . import clock
from .catalogue import CONTROL, EXPECTED, HALVES, INCIDENTS
from .scoring.judging import Seen, share

CALLS_FAIL, FOUND, BLIND = (f"GlueLLM{what}" for what in ("CallsFail", "FindingError", "Blind"))
LEAKED = {
    "kind": "leak",
    "severity": "error",
    "observed": "9 responses are unread.",
    "advice": "Close the stream.",
}
CHURN = {"kind": "client_churn", "severity": "warning", "observed": "30 pools."}
FAILING = {"kind": "calls_failing", "severity": "error", "observed": "9 of 9 calls failed."}
INFO = {"kind": "unbounded_pool", "severity": "info", "observed": "No limit."}


def test_the_catalogue_states_what_has_to_be_reported() -> None:
    """The design requires at least 30 incidents and 6 controls."""
    alerts = {rule["alert"] for group in groups() for rule in group["rules"] if "alert" in rule}
    controls = [one for one in INCIDENTS.values() if one.cause == CONTROL]
    assert (len(controls) >= 6, len(INCIDENTS) - len(controls) >= 30) == (True, True)
    for one in INCIDENTS.values():
        assert one.answer, one.name
        assert bool(one.alert) is not bool(one.no_alert), one.name
        assert {one.alert, *one.also} - {None} <= alerts, one.name
        if one not in controls:
            assert (bool(one.facts), len(one.signs)) == (True, 2), one.name
    assert EXPECTED["incident"].keys() == INCIDENTS.keys() - {one.name for one in controls}
    assert sorted([*HALVES["tuning"], *HALVES["verification"]]) == list(INCIDENTS)
    for half, names in HALVES.items():
        assert sorted({one.name for one in recordings(half)}) == names


@pytest.mark.parametrize(
    ("name", "findings", "alerts", "verdicts"),
    [
        ("stream-leaked", [LEAKED, CHURN], [FOUND], ("yes", "yes", "yes")),
        ("stream-leaked", [{**LEAKED, "observed": "", "advice": ""}], [], ("partly", "yes", "no")),
        ("stream-leaked", [CHURN, LEAKED], [CALLS_FAIL], ("partly", "yes", "partly")),
        ("stream-leaked", [CHURN], [FOUND, BLIND], ("wrong", "yes", "wrong")),
        ("stream-leaked", [FAILING, LEAKED], [FOUND], ("partly", "yes", "yes")),
        ("stream-leaked", [FAILING, CHURN], [FOUND], ("no", "yes", "yes")),
        ("stream-leaked", [INFO], [], ("no", "no", "no")),
        ("few-errors", [INFO], [], ("yes", "yes", "yes")),
        ("few-errors", [CHURN], [CALLS_FAIL], ("wrong", "wrong", "wrong")),
    ],
)
def test_what_was_reported_is_judged(
    name: str, findings: list[dict[str, str]], alerts: list[str], verdicts: tuple[str, ...]
) -> None:
    """A finding with another cause is ``wrong``; no finding is only a ``no``."""
    status = int(any(one["severity"] != "info" for one in findings))
    fired = dict.fromkeys(alerts, 60.0)
    seen = Seen(incident=INCIDENTS[name], findings=findings, status=status, alerts=fired)
    assert tuple(map(seen.verdict, ("finding", "doctor", "alert"))) == verdicts


def test_overview_is_judged_by_both_signals() -> None:
    """If one of two signals reaches its value, the verdict is ``partly``."""
    leak = INCIDENTS["stream-leaked"]
    for values, verdict in [
        ({"leaks_suspected": 3.0, "queued_now": 4.0}, "yes"),
        ({"leaks_suspected": 3.0, "queued_now": 0.0}, "partly"),
        ({}, "no"),
    ]:
        assert Seen(incident=leak, values=values).verdict("overview") == verdict


def test_wrong_counts_double() -> None:
    """Two right verdicts and a wrong one give a share of one half."""
    right = Seen(incident=INCIDENTS["stream-leaked"], findings=[LEAKED], status=1)
    wrong = Seen(incident=INCIDENTS["stream-leaked"], findings=[CHURN], status=1)
    assert share([right, right, wrong], "finding") == 0.5


def test_windows_are_shortened_everywhere() -> None:
    """Ranges, offsets, and the seconds that a rate is multiplied by; names of series stay."""
    promql = "(a:events5m offset 10m) + rate(b_total[5m]) * 300 > 0.5 * c[1h] offset 5m"
    assert clock.scaled(promql, 12) == (
        "(a:events5m offset 50000ms) + rate(b_total[25000ms]) * 25 > 0.5 * c[300000ms] "
        "offset 25000ms"
    )
