"""The report's line on each query."""

from dataclasses import replace

import pytest

from gluellm_pools.verify import client
from gluellm_pools.verify.address import Address
from gluellm_pools.verify.client import Store
from gluellm_pools.verify.outcomes import NO_RULES, QueryResult, _why_no_series, run_essential
from gluellm_pools.verify.paths import paths
from gluellm_pools.verify.promql import Selector
from gluellm_pools.verify.report import StoreReport, as_text

from .server import answer, serving
from .test_findings import NOW, given

_PHASES = {"queued": "0.345", "reading": "0.2", "unread": "NaN"}


def _vector(rows) -> dict:
    result = [{"metric": labels, "value": [NOW, value]} for labels, value in rows]
    return {"status": "success", "data": {"resultType": "vector", "result": result}}


def _outcome(question: str, rows) -> QueryResult:
    """The outcome of a question when the store answers with these rows."""
    with serving(lambda handler, path: answer(handler, _vector(rows))) as url:
        outcomes = list(run_essential(Store(Address(url), 10.0), given()))
    return next(one for one in outcomes if question in one.where)


def _text(outcome: QueryResult, **options) -> str:
    contents = given()
    found = paths(contents, contents.processes)
    text = as_text(StoreReport(contents, found, [], [outcome]), **options)
    return " ".join(text.split())


_POOL = {"gen_ai_provider_name": "openai", "gluellm_pool_name": "default"}


@pytest.mark.parametrize(
    ("question", "rows", "line"),
    [
        (
            "In which phase",
            [({"gluellm_request_phase": phase}, value) for phase, value in _PHASES.items()],
            "0.345 s/s In which phase do requests spend their time? (highest of 3: queued)",
        ),
        (
            "with which status",
            [
                ({**_POOL, "http_response_status_code": "200"}, "3"),
                ({**_POOL, "error_type": "x"}, "1"),
            ],
            "3/s How many requests, with which status? (highest of 2: openai default 200)",
        ),
        ("How full", [({}, "0.8")], "80 % How full is the fullest pool?"),
        (  # All are 0: none of them stands out.
            "anomalies",
            [({"a": "x"}, "0"), ({"a": "y"}, "0")],
            "How many anomalies were seen? (highest of 2)",
        ),
    ],
)
def test_the_value_that_stands_out_comes_with_its_labels_and_unit(question, rows, line):
    """A number alone does not show the phase."""
    assert line in _text(_outcome(question, rows))


def test_panels_without_recording_rules_take_one_line():
    """The fleet board has 20 of them. With the queries, each is listed."""
    outcomes = [
        QueryResult(f"panel {n}", "a:b", "fleet", reason=NO_RULES, fine=False) for n in (1, 2)
    ]
    report = StoreReport(given(), [], [], outcomes)
    text = as_text(report)
    assert "NO DATA  2 queries of recording rules" in text
    assert text.count(NO_RULES) == 1
    assert "panel 1" not in text
    assert "panel 1" in as_text(report, queries=True)


def test_reason_of_several_empty_answers_has_their_number():
    """It is below the last of them."""
    outcomes = [QueryResult(f"panel {n}", "a", reason="one") for n in (1, 2)]
    text = as_text(
        StoreReport(given(), [], [], [*outcomes, QueryResult("other", "b", reason="two")])
    )
    assert "why (all 2): one" in text
    assert "why: two" in text


def test_truncated_answer_is_reported(monkeypatch):
    """An answer that just fits is complete."""
    monkeypatch.setattr(client, "MOST_ROWS", 3)
    for number, cut in ((3, []), (4, ["up"])):
        rows = [({"a": str(one)}, "1") for one in range(number)]
        with serving(lambda handler, path, rows=rows: answer(handler, _vector(rows))) as url:
            store = Store(Address(url), 10.0)
            assert len(store.query("up")) == 3
        assert store.cut == cut


def test_loaded_rule_without_its_source_metric_names_the_metric():
    """Without any rule, the reason is that rules are not loaded."""
    rules = {"a:b": "sum(rate(of_another_program[5m])) or a:b"}
    selected = Selector("a:b")
    with serving(lambda handler, path: answer(handler, _vector([]))) as url:
        store = Store(Address(url), 10.0)
        assert _why_no_series(store, given(), selected) == (NO_RULES, False)
        contents = replace(given(), rules=rules)
        reason, fine = _why_no_series(store, contents, selected)
    assert not fine
    assert reason.startswith("its recording rule is loaded, but its source is missing:")
    assert "no metric of_another_program" in reason
