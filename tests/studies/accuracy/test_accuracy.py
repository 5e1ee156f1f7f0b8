"""The catalogue is complete, and what was reported is judged as it should be."""

import pytest

from gluellm_dashboards.rules import groups
from incidents.recordings import recordings

from .catalogue import CONTROL, EXPECTED, HALVES, INCIDENTS
from .scoring.judging import Report, Seen, share

CALLS_FAIL, BY_ERROR, LIMIT = (
    f"GlueLLM{what}" for what in ("CallsFail", "FindingError", "LimitDiffers")
)
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
    ("name", "findings", "symptoms", "verdicts"),
    [
        ("stream-leaked", [LEAKED, CHURN], [], ("yes", "yes", "yes")),
        ("stream-leaked", [{**LEAKED, "observed": "", "advice": ""}], [], ("partly",) * 3),
        ("stream-leaked", [CHURN, LEAKED], [CALLS_FAIL], ("partly", "yes", "yes")),
        ("stream-leaked", [CHURN], [], ("wrong", "wrong", "wrong")),
        ("stream-leaked", [LEAKED], [LIMIT], ("yes", "yes", "wrong")),
        ("stream-leaked", [FAILING, LEAKED], [], ("partly", "partly", "partly")),
        ("stream-leaked", [FAILING, CHURN], [], ("no", "no", "partly")),
        ("stream-leaked", [INFO], [], ("no", "no", "no")),
        ("stream-leaked", [INFO], [CALLS_FAIL], ("no", "no", "partly")),
        ("few-errors", [INFO], [], ("yes", "yes", "yes")),
        ("few-errors", [CHURN], [], ("wrong", "wrong", "wrong")),
    ],
)
def test_what_was_reported_is_judged(
    name: str, findings: list[dict[str, str]], symptoms: list[str], verdicts: tuple[str, ...]
) -> None:
    """A finding with another cause is ``wrong``; no finding is only a ``no``. Errors are first."""
    above_info = [one for one in findings if one["severity"] != "info"]
    reports = [
        Report(kind=one["kind"], severity=one["severity"], began=60.0, alert=BY_ERROR)
        for one in above_info
    ]
    seen = Seen(
        incident=INCIDENTS[name],
        findings=findings,
        status=int(bool(above_info)),
        exported=reports,
        alerts=[
            *reports,
            *(Report(kind="", severity="critical", began=0, alert=one) for one in symptoms),
        ],
    )
    assert tuple(map(seen.verdict, ("doctor", "finding", "alert"))) == verdicts


def test_an_alert_that_pages_nobody_is_not_enough_where_one_has_to() -> None:
    """A leak has to page: a warning that names it is ``partly``."""
    mild = Report(kind="leak", severity="warning", began=60.0, alert="GlueLLMFindingWarning")
    for name, verdict in (("stream-leaked", "partly"), ("slow-consumer", "wrong")):
        seen = Seen(incident=INCIDENTS[name], findings=[LEAKED], alerts=[mild])
        assert seen.verdict("alert") == verdict


def test_the_log_is_judged_by_its_own_texts() -> None:
    """The text of the record has to have the facts; a row has the seconds to begin and end."""
    record = Report(
        kind="leak",
        severity="error",
        began=95.0,
        ended=70.0,
        text="9 are unread. Close the stream.",
    )
    seen = Seen(incident=INCIDENTS["stream-leaked"], logged=[record])
    assert seen.verdict("log") == "yes"
    assert "log yes leak (error) 95/70" in seen.row()


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
    assert share([right, right, wrong], "doctor") == 0.5
