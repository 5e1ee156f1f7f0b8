"""Queries of the boards: they parse, and use only emitted and recorded metrics."""

import re

import promql_parser
import pytest

from gluellm_dashboards import links
from gluellm_dashboards.rules.recording import RECORDED
from gluellm_pools.prometheus import metric_name
from opentelemetry.instrumentation.gluellm.telemetry.semconv import METRICS, Instrument

from .reading import (
    BUILT_IN,
    FILES,
    Asked,
    document,
    nodes,
    panels,
    questions,
    selectors,
    variables,
)

STORED = {
    f"{metric_name(metric)}{suffix}"
    for metric in METRICS
    for suffix in (("", "_bucket") if metric.instrument == Instrument.HISTOGRAM else ("",))
}
MADE = {one.name for one in RECORDED}
KNOWN_TO_BOTH = {
    "rate", "increase", "deriv", "last_over_time", "histogram_quantile", "clamp_min", "ceil",
    "sqrt", "round", "max_over_time", "min_over_time", "time",
}  # fmt: skip
"""Functions that give the same results in Prometheus and VictoriaMetrics."""
QUESTIONS = questions()

IDENTITY = "target_info"
"""Adds host and PID to a table that also works without it."""


def metrics_of(asked: Asked) -> set[str]:
    return {selector.name for selector in selectors(asked.filled)}


def test_every_query_is_promql():
    """Each query parses with its variables filled in."""
    for asked in QUESTIONS:
        promql_parser.parse(asked.filled)


def test_every_metric_in_a_query_is_emitted_or_recorded():
    """Each metric is emitted by the package or written by a recording rule."""
    for asked in QUESTIONS:
        assert metrics_of(asked) <= STORED | MADE | {IDENTITY}, asked


def test_every_metric_is_on_a_board():
    """A metric that nobody sees is not worth its cost."""
    asked = set[str]().union(*(metrics_of(one) for one in QUESTIONS))
    shown = {
        metric.name
        for metric in METRICS
        if asked & {metric_name(metric), f"{metric_name(metric)}_bucket"}
    }
    assert {metric.name for metric in METRICS} == shown


def test_every_function_is_known_to_both_stores():
    """VictoriaMetrics refuses a query with an unknown function."""
    for asked in QUESTIONS:
        called = {
            node.func.name
            for node in nodes(promql_parser.parse(asked.filled))
            if isinstance(node, promql_parser.Call)
        }
        assert called <= KNOWN_TO_BOTH


def test_queries_do_not_use_series_that_differ_between_ingestion_paths():
    """These are scope labels, target_info, buckets by bound, and counts and sums of histograms."""
    for asked in QUESTIONS:
        for selector in selectors(asked.filled):
            if selector.name == IDENTITY:
                continue
            labels = {matcher.name for matcher in selector.matchers.matchers}
            assert not {label for label in labels if "scope" in label or label in {"le", "vmrange"}}
            assert not selector.name.endswith(("_count", "_sum", "_info")), asked


def test_every_query_is_filtered_by_the_boards_variables():
    """Each selector has all variables of its kind, so that it shows only chosen series."""
    for asked in QUESTIONS:
        process = {"cluster", "namespace", "job", "instance"}
        for selector in selectors(asked.filled):
            if selector.name == IDENTITY:  # joined with series that are filtered
                continue
            narrowed = {
                name
                for name, label in {
                    "cluster": "k8s_cluster_name", "namespace": "k8s_namespace_name", "job": "job",
                    "instance": "instance", "provider": "gen_ai_provider_name",
                    "pool": "gluellm_pool_name", "version": "service_version",
                }.items()
                if label in {matcher.name for matcher in selector.matchers.matchers}
            }  # fmt: skip
            of_pools = selector.name.startswith(
                (
                    "gluellm_pool",
                    "gluellm_finding_current",
                    "http_client",
                    "dns_lookup",
                    "instance_pool:",
                )
            )
            of_calls = selector.name.startswith(("gluellm_call", "instance_provider:"))
            wanted = process | ({"provider"} if of_pools or of_calls else set())
            wanted |= {"pool"} if of_pools else set()
            # Recorded series have no version, so their board has no such variable.
            assert narrowed == wanted | (set() if asked.board == links.FLEET else {"version"})


def test_rates_span_at_least_four_export_intervals():
    """The window is `$__rate_interval`, which Min step widens, or a fixed number of minutes."""
    for asked in QUESTIONS:
        windows = set(re.findall(r"\[([^\]]+)\]", asked.expression))
        assert windows <= {"$__rate_interval", "5m", "15m", "10m", "1h", "10m:1m", "6h:1m"}, asked
        if "rate(" in asked.expression:
            assert windows & {"$__rate_interval", "5m", "10m", "15m"}, asked


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_min_step_is_the_export_interval(file):
    """Min step is the chosen interval, since `$__rate_interval` is at least four times Min step."""
    board = document(file)
    targets = [target for panel in panels(board) for target in panel.get("targets", [])]
    rates = [target["interval"] for target in targets if "$__rate_interval" in target["expr"]]
    assert set(rates) <= {"$interval"}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_used_variables_are_defined(file):
    """Variables are used in queries, links, legends and queries of later variables."""
    board = document(file)
    defined: set[str] = set()
    for variable in board["templating"]["list"]:
        query = variable["query"]
        asked = query["query"] if isinstance(query, dict) else ""
        assert variables(asked) <= defined, asked
        defined.add(variable["name"])
    rest = {key: value for key, value in board.items() if key != "templating"}
    used = variables(str(rest)) - set(BUILT_IN)
    # `${__field.labels.job}` and similar ones are Grafana's.
    own = {name for name in used if name.startswith("__")}
    assert used - own <= defined
