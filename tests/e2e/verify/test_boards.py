"""A board's queries on a real store: which are empty, and why."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from e2e.programs import Stack

from .conftest import Run, Verify, arrived

pytest.importorskip("any_llm")

_OURS = Path(__file__).parents[3] / "dashboards"
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


def test_every_query_of_our_boards_is_answered_or_said_to_be_in_order(
    stack: Stack, run: Run, verify: Verify
):
    """With the rules loaded. Nobody sets a cluster or a version here, which All lets through."""
    stack.prometheus_otlp.load_rules(_OURS / "prometheus" / "recording.yaml")
    stack.start("prometheus_otlp")
    store = stack.prometheus_otlp
    run(endpoint=store.otlp_endpoint)
    arrived(store, "count_over_time(gluellm_pool_lease_duration_seconds_count[1m]) > 3")
    arrived(store, "instance_pool:gluellm_pool_requests:rate5m")
    status, text = verify(store.url, "--boards", str(_OURS / "grafana"))
    assert status == 0, text
    assert text.count("BOARD GlueLLM pools: ") == 4
    assert "NO DATA" not in text
    assert "variable $cluster" in text
    assert "annotation Limits changed" in text
    assert 'off by default: instrument(metrics="full")' in text


def test_boards_on_recording_rules_say_that_these_are_not_loaded(
    stack: Stack, run: Run, verify: Verify
):
    """The fleet's; the others need none."""
    stack.start("prometheus_otlp")
    store = stack.prometheus_otlp
    run(endpoint=store.otlp_endpoint)
    arrived(store, "count_over_time(gluellm_pool_lease_duration_seconds_count[1m]) > 3")
    files = [str(file) for file in sorted((_OURS / "grafana").glob("*.json"))]
    fleet = next(file for file in files if "fleet" in file)
    status, text = verify(store.url, "--boards", fleet)
    assert status == 1
    assert "its recording rule isn't loaded, or has not run yet" in text
    files.remove(fleet)
    status, text = verify(store.url, "--boards", *files)
    assert status == 0, text
    assert "recording rule" not in text


def test_the_window_of_a_rate_is_four_of_a_query_s_shortest_step(
    stack: Stack, run: Run, verify: Verify, tmp_path
):
    """As in Grafana, also where that is written with a variable."""
    stack.start("prometheus_otlp")
    store = stack.prometheus_otlp
    run(endpoint=store.otlp_endpoint)
    arrived(store, "count_over_time(gluellm_pool_lease_duration_seconds_count[1m]) > 3")
    variable = {"name": "interval", "type": "custom", "query": "1m,5m", "current": {"value": "5m"}}
    expression = "sum(increase(gluellm_pool_requests_total[$__rate_interval]))"
    target = {"expr": expression, "interval": "$interval"}
    body = {
        "title": "S",
        "templating": {"list": [variable]},
        "panels": [{"title": "p", "targets": [target]}],
    }
    (tmp_path / "s.json").write_text(json.dumps(body))
    status, text = verify(store.url, "--boards", str(tmp_path), "--show-queries")
    assert status == 0, text
    assert "gluellm_pool_requests_total[1200s]" in text
