"""Which series an expression asks for."""

import pytest

from gluellm_pools.verify.promql import Matcher, Selector, duration, selectors
from gluellm_pools.verify.queries import QUERIES
from opentelemetry.instrumentation.gluellm.telemetry.prometheus import metric_name, series_names


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ("a", [Selector("a")]),
        ("sum by (job, le) (rate(a_total[5m]))", [Selector("a_total", (), 300.0)]),
        ("sum(rate(a[1h30m:1m])) without (b)", [Selector("a", (), 5400.0)]),
        (
            'a{b="c", d=~"e|f",} > 0',
            [Selector("a", (Matcher("b", "=", "c"), Matcher("d", "=~", "e|f")))],
        ),
        ("a / on (x, y) group_left (z) b", [Selector("a"), Selector("b")]),
        ("a and b or 0 * c unless d", [Selector(name) for name in "abcd"]),
        ('{"a.b", "c.d"="e"}', [Selector("a.b", (Matcher("c.d", "=", "e"),))]),
        ('{__name__="a", b!=""}', [Selector("a", (Matcher("b", "!=", ""),))]),
        ('{__name__=~"a.+"}', [Selector("", (Matcher("__name__", "=~", "a.+"),))]),
        ('label_replace(a, "x", "$1", "y", "(.*)")', [Selector("a")]),
        ("topk(3, a offset 5m)", [Selector("a")]),
        ("histogram_quantile(0.95, sum by (le) (a_bucket))", [Selector("a_bucket")]),
        ("vector(1) + time() # a comment", []),
        ("sum(a[", [Selector("a")]),
        ("{", [Selector("")]),
        ("1e3 + 0x1f + Inf", []),
    ],
)
def test_selectors_are_found_in_an_expression(expression, found):
    """Functions, keywords, labels, strings and numbers are ignored."""
    assert selectors(expression) == found


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.question)
def test_each_essential_query_uses_exactly_the_metrics_that_it_names(query):
    known = {name for metric in query.metrics for name in series_names(metric)}
    known |= {metric_name(metric) for metric in query.metrics}  # native histograms
    found = selectors(query.promql('job="api"', "7m"))
    assert {one.name for one in found} <= known
    assert all(Matcher("job", "=", "api") in one.matchers for one in found)
    assert {one.window for one in found} <= {None, 420.0}
    assert "%" not in query.promql()


def test_promql_durations_are_parsed():
    assert duration("1h30m") == 5400
    assert duration("500ms") == 0.5
    assert duration("90") == 90
    assert duration("5x") is None
    assert duration("") is None
