"""VictoriaMetrics, whose functions differ, decides the alerts' cases as Prometheus does."""

import re
import time
from collections.abc import Iterator

import pytest

from gluellm_dashboards.rules.alerts import ALERTS, INTERVAL
from gluellm_dashboards.rules.case import Case
from gluellm_dashboards.rules.cases import CASES
from gluellm_dashboards.rules.expressions import RECORDED
from gluellm_pools.text import duration

from ..programs import VictoriaMetrics

_MINUTE = 60
_STEP = int(INTERVAL.removesuffix("s"))
_DAY = 1440 * _MINUTE
_BLOCK = re.compile(r"(?P<first>[\d.]+|_)(?:\+(?P<step>[\d.]+))?(?:x(?P<times>\d+))?$")

# The text format has no stale markers and no native histograms. Few cases need them.
SAYABLE = [
    case
    for case in CASES
    if not any("stale" in one["values"] or "{{" in one["values"] for one in case.series)
]
assert len(SAYABLE) > 0.95 * len(CASES)


def expanded(values: str) -> list[float | None]:
    """Expand promtool's notation into samples, one per minute."""
    found: list[float | None] = []
    for block in values.split():
        match = _BLOCK.match(block)
        assert match, block
        if match["first"] == "_":
            found += [None] * int(match["times"] or 1)
        else:
            first, step = float(match["first"]), float(match["step"] or 0)
            found += [first + step * number for number in range(int(match["times"] or 0) + 1)]
    return found


def _job(case: Case) -> str:
    return f"case-{CASES.index(case)}"


def _lines(case: Case, start: int) -> Iterator[str]:
    for one in case.series:
        name = one["series"].replace('job="api"', f'job="{_job(case)}"')
        for minute, value in enumerate(expanded(one["values"])):
            if value is not None:
                yield f"{name} {value:g} {(start + minute * _MINUTE) * 1000}"


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[VictoriaMetrics, int]]:
    """All cases, each as its own service, from yesterday noon on.

    No case passes midnight (UTC): VictoriaMetrics has an index for each day, and gave other results
    for a series that began a few minutes before midnight.
    """
    store = VictoriaMetrics("victoria_metrics", tmp_path_factory.mktemp("rules"))
    start = int(time.time()) // _DAY * _DAY - _DAY // 2
    store.start()
    try:
        body = "\n".join(line for case in SAYABLE for line in _lines(case, start))
        assert store.post("/api/v1/import/prometheus", body)[0] == 204
        yield store, start
    finally:
        store.stop()


def _true_for(store: VictoriaMetrics, expression: str, at: int) -> set[str]:
    """Return the services for which a condition holds at a moment, with vmalert's parameters."""
    parameters = {"query": expression, "time": str(at), "step": "5m", "nocache": "1"}
    return {row["metric"]["job"] for row in store.ask("/api/v1/query", parameters)["result"]}


_MATCHER = re.compile(r'(\w+)(=~?|!=)"([^"]*)"')


def _computed(expression: str) -> str:
    """Return an alert's expression with recorded series replaced by their expressions."""
    recorded = {one.name: one.promql for one in RECORDED}

    def computed(found: re.Match[str]) -> str:
        promql = f"({recorded[found['name']]})"
        for label, operator, value in _MATCHER.findall(found["matchers"] or ""):
            function = "label_mismatch" if operator.startswith("!") else "label_match"
            promql = f'{function}({promql}, "{label}", "{value}")'
        return f"{promql}[{found['range']}:{INTERVAL}]" if found["range"] else promql

    return re.sub(
        rf"(?P<name>{'|'.join(map(re.escape, recorded))})"
        r"(?P<matchers>\{[^}]*\})?(\[(?P<range>\w+)\])?",
        computed,
        expression,
    )


def seconds(text: str) -> int:
    """Parse a duration such as ``5m15s``."""
    return int(duration(text) or 0)


@pytest.mark.parametrize("name", sorted({case.alert for case in CASES}))
def test_victoria_metrics_decides_as_prometheus_does(
    stored: tuple[VictoriaMetrics, int], name: str
) -> None:
    """The decisions are the same for each case and each of its moments."""
    store, start = stored
    cases = [case for case in SAYABLE if case.alert == name]
    moments = {seconds(moment) for case in cases for moment in case.expected}
    firing: dict[tuple[str, int], set[str]] = {}
    for alert in (one for one in ALERTS if one.name == name):
        held = {at: range(at - seconds(alert.hold), at + 1, _STEP) for at in moments}
        asked = {moment for moments in held.values() for moment in moments}
        expression = _computed(alert.expr)
        true_for = {at: _true_for(store, expression, start + at) for at in asked}
        for at, during in held.items():
            firing[alert.kind, at] = set.intersection(*(true_for[moment] for moment in during))

    wrong = [
        f"{case.says}, at {moment}, {kind or 'it'} {'fires' if fires else 'does not fire'}"
        for case in cases
        for moment, expected in case.expected.items()
        for (kind, at), services in firing.items()
        if at == seconds(moment)
        and (fires := _job(case) in services) != (kind in {one.kind for one in expected})
    ]
    assert not wrong, "\n".join(wrong)
