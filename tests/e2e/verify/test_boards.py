"""A board's queries on a real store: which are empty, and why."""

from __future__ import annotations

import json

import pytest

from e2e.programs import Stack

from .conftest import Run, Verify, arrived

pytest.importorskip("any_llm")

_JOB = 'job=~"$job",instance=~"${instance:regex}"'
_VARIABLES = [
    {"name": "source", "type": "datasource", "query": "prometheus", "current": {"value": "x"}},
    {
        "name": "job",
        "type": "query",
        "query": {"query": "label_values(gluellm_pool_live, job)"},
        "includeAll": True,
        "multi": True,
        "current": {"value": ["$__all"]},
    },
    {
        "name": "instance",
        "type": "query",
        "query": 'label_values(gluellm_pool_live{job=~"$job"}, instance)',
        "includeAll": True,
        "current": {"value": "a-pod-of-last-week"},
    },
    {"name": "quantile", "type": "custom", "query": "0.5,0.95", "current": {"value": "0.95"}},
]
_GOOD = {
    "wait": "histogram_quantile($quantile, sum by (le) "
    f"(rate(gluellm_pool_acquire_duration_seconds_bucket{{{_JOB}}}[$__rate_interval])))",
    "live": 'sum(gluellm_pool_live{job=~"[[job]]"})',
    "zero": f"sum(gluellm_pool_leaks_total{{{_JOB}}})",
}
_QUIET = {
    "streams": ("sum(gluellm_pool_stream_active)", "no HTTP/2 connection yet"),
    "busy": ("gluellm_pool_live > 1000", "its comparison holds for none of the series"),
    "teapot": (
        'sum(gluellm_pool_requests_total{http_response_status_code="418"})',
        "it has 200",
    ),
    "full": (
        "sum(rate(gluellm_pool_connection_requests_count[5m]))",
        'off by default: instrument(metrics="full")',
    ),
}
_BROKEN = {
    "misspelt": (
        "sum(gluellm_pool_waits)",
        "there is no metric gluellm_pool_waits in the store",
    ),
    "label": (
        'sum(gluellm_pool_live{cluster="eu"})',
        "no series of gluellm_pool_live has the label cluster",
    ),
    "value": (
        'sum(gluellm_pool_live{job="web"})',
        'no series of gluellm_pool_live with job="web"; it has answers',
    ),
    "short": (
        "sum(rate(gluellm_pool_lease_duration_seconds_sum[500ms]))",
        "holds fewer than two samples",
    ),
    "variable": ("sum(gluellm_pool_live{$filter})", "the board does not define $filter"),
    "syntax": ("sum((", "the store refuses it"),
    "join": (
        "gluellm_pool_live * on (gluellm_pool_name) max by (job) (gluellm_instrumentation_seam)",
        "no labels of one side fit the other's",
    ),
}


def board(**panels: str) -> str:
    """A dashboard with these queries, each in a panel of that title."""
    made = [{"title": title, "targets": [{"expr": query}]} for title, query in panels.items()]
    row = {"type": "row", "title": "all", "panels": made}
    return json.dumps({"title": "Pools", "templating": {"list": _VARIABLES}, "panels": [row]})


def test_each_empty_query_of_a_board_has_its_reason(
    stack: Stack, run: Run, verify: Verify, tmp_path
):
    """What is quiet is told from what is wrong, and zero from no data."""
    stack.start("prometheus_otlp")
    store = stack.prometheus_otlp
    run(endpoint=store.otlp_endpoint)
    arrived(store, "count_over_time(gluellm_pool_lease_duration_seconds_count[1m]) > 3")
    quiet = {title: query for title, (query, _) in _QUIET.items()}
    broken = {title: query for title, (query, _) in _BROKEN.items()}

    file = tmp_path / "pools.json"
    file.write_text(board(**_GOOD, **quiet))
    status, text = verify(store.url, "--boards", str(file))
    assert status == 0, text
    assert "BOARD Pools: 3 of 7 have an answer" in text
    assert " 0 zero " in text
    for title, (_, reason) in _QUIET.items():
        assert f"no data {title} " in text
        assert reason in text

    file.write_text(board(**broken))
    status, text = verify(store.url, "--boards", str(tmp_path))
    assert status == 1
    assert "BOARD Pools: 0 of 7 have an answer" in text
    assert "7 empty queries" in text
    for title, (_, reason) in _BROKEN.items():
        assert f"NO DATA {title} " in text
        assert reason in text, text


def test_an_empty_variable_empties_a_board(stack: Stack, run: Run, verify: Verify, tmp_path):
    """And is named by itself, since it explains the rest."""
    stack.start("prometheus_otlp")
    store = stack.prometheus_otlp
    run(endpoint=store.otlp_endpoint)
    arrived(store, "count_over_time(gluellm_pool_lease_duration_seconds_count[1m]) > 3")
    variable = {
        "name": "cluster",
        "type": "query",
        "query": "label_values(gluellm_pool_live, cluster)",
    }
    panel = {"title": "p", "targets": [{"expr": 'gluellm_pool_live{cluster=~"$cluster"}'}]}
    body = {"title": "C", "templating": {"list": [variable]}, "panels": [panel]}
    (tmp_path / "c.json").write_text(json.dumps(body))
    status, text = verify(store.url, "--boards", str(tmp_path))
    assert status == 1
    assert "variable $cluster" in text
    assert "it offers no value: no series of gluellm_pool_live has 'cluster'" in text
