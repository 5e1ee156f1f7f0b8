"""Empty queries of a board on a real store, and their reasons."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from e2e.files import GRAFANA
from e2e.programs import Prometheus

from .conftest import Programs, Verify, arrived

pytest.importorskip("any_llm")

_JOB = 'job=~"$job",instance=~"${instance:regex}"'
_GOOD = {
    "wait": "histogram_quantile($quantile, sum by (le) "
    f"(rate(gluellm_pool_acquire_duration_seconds_bucket{{{_JOB}}}[$__rate_interval])))",
    "live": 'sum(gluellm_pool_live{job=~"[[job]]"})',
    "zero": f"sum(gluellm_pool_leaks_total{{{_JOB}}})",
}
_QUIET = {
    "streams": ("sum(gluellm_pool_stream_active)", "no HTTP/2 connection yet"),
    "busy": ("gluellm_pool_live > 1000", "no series meets the query's condition"),
    "teapot": ('sum(gluellm_pool_requests_total{http_response_status_code="418"})', "it has 200"),
    "full": (
        "sum(rate(gluellm_pool_connection_requests_count[5m]))",
        'off by default: instrument(metrics="full")',
    ),
}
_BROKEN = {
    "misspelt": ("sum(gluellm_pool_waits)", "the store has no metric gluellm_pool_waits"),
    "label": (
        'sum(gluellm_pool_live{cluster="eu"})',
        "no series of gluellm_pool_live has the label cluster",
    ),
    "value": (
        'sum(gluellm_pool_live{job="web"})',
        'no series of gluellm_pool_live with job="web"; it has answers',
    ),
    "short": (
        "sum(rate(gluellm_pool_lease_duration_seconds_sum[300ms]))",
        "contains fewer than two samples",
    ),
    "variable": ("sum(gluellm_pool_live{$filter})", "the store rejects the query"),
    "syntax": ("sum((", "the store rejects the query"),
    "join": (
        "gluellm_pool_live * on (gluellm_pool_name) min(gluellm_instrumentation_hook_missing)",
        "the labels of its sides do not match",
    ),
}


def _query(name: str, text: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "type": "query", "query": text, **more}


_EVERYTHING = {"includeAll": True, "current": {"value": ["$__all"]}}
_VARIABLES = [
    {"name": "source", "type": "datasource", "query": "prometheus", "current": {"value": "x"}},
    _query("job", "label_values(gluellm_pool_live, job)", multi=True, **_EVERYTHING),
    {
        **_query("instance", 'label_values(gluellm_pool_live{job=~"$job"}, instance)'),
        "includeAll": True,
        "current": {"value": "a-pod-of-last-week"},
    },
    {"name": "quantile", "type": "custom", "query": "0.5,0.95", "current": {"value": "0.95"}},
    {"name": "interval", "type": "custom", "query": "1m,5m", "current": {"value": "5m"}},
]


@pytest.fixture
def boards(tmp_path: Path) -> Any:
    """Write a board with one panel for each query. Returns its file."""

    def board(
        panels: dict[str, str], variables: list[dict[str, Any]] = _VARIABLES, **target: str
    ) -> str:
        made = [{"title": name, "targets": [{"expr": q, **target}]} for name, q in panels.items()]
        row = {"type": "row", "title": "all", "panels": made}
        file = tmp_path / f"{len(list(tmp_path.iterdir()))}.json"
        body = {"title": "Pools", "templating": {"list": variables}, "panels": [row]}
        file.write_text(json.dumps(body))
        return str(file)

    return board


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory, programs: Programs) -> Iterator[str]:
    """The URL of a store with data."""
    store = Prometheus("boards", tmp_path_factory.mktemp("store"))
    try:
        store.start()
        programs(endpoint=store.otlp_endpoint)
        arrived(store)
        yield store.url
    finally:
        programs.end()
        store.stop()


def test_each_quiet_query_has_its_reason(url: str, verify: Verify, boards: Any) -> None:
    """A result of zero does not count as empty."""
    quiet = {title: query for title, (query, _) in _QUIET.items()}
    status, text = verify(url, "--boards", boards({**_GOOD, **quiet}))
    assert status == 0, text
    assert "BOARD Pools: 3 of 7 have an answer" in text
    assert " 0 zero " in text
    for title, (_, reason) in _QUIET.items():
        assert f"no data {title} " in text
        assert reason in text


def test_each_wrong_query_has_its_reason(url: str, verify: Verify, boards: Any) -> None:
    broken = {title: query for title, (query, _) in _BROKEN.items()}
    status, text = verify(url, "--boards", boards(broken))
    assert status == 1
    assert "BOARD Pools: 0 of 7 have an answer" in text
    assert "7 times NO DATA" in text
    for title, (_, reason) in _BROKEN.items():
        assert f"NO DATA {title} " in text
        assert reason in text, text


def test_an_empty_variable_is_named_by_itself(url: str, verify: Verify, boards: Any) -> None:
    """The empty variable explains the empty panels."""
    variable = _query("cluster", "label_values(gluellm_pool_live, cluster)")
    panels = {"p": 'gluellm_pool_live{cluster=~"$cluster"}'}
    status, text = verify(url, "--boards", boards(panels, [variable]))
    assert status == 1
    assert "variable $cluster" in text
    assert "it has no value: no series of gluellm_pool_live has 'cluster'" in text


def test_the_window_of_a_rate_is_four_of_a_query_s_shortest_step(
    url: str, verify: Verify, boards: Any
) -> None:
    """The window is computed as in Grafana, also if a variable contains the step."""
    panels = {"p": "sum(increase(gluellm_pool_requests_total[$__rate_interval]))"}
    status, text = verify(url, "--boards", boards(panels, interval="$interval"), "--show-queries")
    assert status == 0, text
    assert "gluellm_pool_requests_total[1200s]" in text


def test_missing_recording_rules_are_reported(url: str, verify: Verify) -> None:
    """Only the fleet board needs them."""
    files = [str(file) for file in sorted(GRAFANA.glob("*.json"))]
    fleet = next(file for file in files if "fleet" in file)
    status, text = verify(url, "--boards", fleet)
    assert status == 1
    assert "the recording rules are not loaded, or have not run yet" in text
    files.remove(fleet)
    status, text = verify(url, "--boards", *files)
    assert status == 0, text
    assert "recording rule" not in text
