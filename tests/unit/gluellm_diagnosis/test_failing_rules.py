"""A rule, condition or account step that raises leaves the findings of the others."""

from typing import Any

import pytest

from gluellm_diagnosis import account, table
from gluellm_diagnosis import diagnose as diagnosis
from gluellm_diagnosis.findings import Kind
from gluellm_diagnosis.rules import limiting, process

from .building import a_pool, a_request, a_snapshot, an_account, of_calls, the_calls, the_totals

FAILING = of_calls(40, {}, {"RuntimeError": 30})
WRONG = a_snapshot(
    the_totals(),
    a_pool([a_request("unread", 99.0, leak_suspected=True)]),
    calls=(the_calls(),),
    open_descriptors=900,
    **an_account(FAILING),
)
LEFT = {Kind.CALLS_FAILING, Kind.LEAK, Kind.DESCRIPTORS_NEAR_LIMIT}


def raises(*_: object, **__: object) -> Any:
    raise ValueError("text that may be private")


def found(failed: Any) -> set[Kind]:
    return {finding.kind for finding in diagnosis.diagnose(WRONG, failed=failed)}


@pytest.mark.parametrize(
    ("rows", "rule", "missing"),
    [
        ("OF_PROCESS", "descriptors_near_limit", Kind.DESCRIPTORS_NEAR_LIMIT),
        ("OF_POOL", "leak", Kind.LEAK),
    ],
)
def test_rule_that_raises_leaves_the_other_findings(rows, rule, missing, monkeypatch):
    broken = [
        row._replace(find=raises) if row.name == rule else row for row in getattr(table, rows)
    ]
    monkeypatch.setattr(diagnosis, rows, broken)
    errors: list[Exception] = []
    assert found(errors.append) == LEFT - {missing}
    assert [type(error) for error in errors] == [ValueError]


@pytest.mark.parametrize(
    ("owner", "step", "missing"),
    [
        (account._Group, "troubles", {Kind.CALLS_FAILING}),
        (account._Group, "__init__", {Kind.CALLS_FAILING}),
        (account, "explained", set()),
        (process, "loop_is_blocked", set()),
        (limiting, "wait_before", set()),
    ],
)
def test_step_that_raises_leaves_the_other_findings(owner, step, missing, monkeypatch):
    monkeypatch.setattr(owner, step, raises)
    errors: list[Exception] = []
    assert found(errors.append) == LEFT - missing
    assert errors


def test_condition_that_raises_hides_nothing(monkeypatch):
    monkeypatch.setitem(table.CONDITIONS, "loop_is_late", table.Condition("", raises))
    errors: list[Exception] = []
    assert found(errors.append) == LEFT
    assert errors
