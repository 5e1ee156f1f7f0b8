"""The series that an expression selects."""

import time

import pytest

from gluellm_pools.verify.outcomes import QUERIES
from gluellm_pools.verify.promql import Selector, matcher, selector, selectors


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ("a", [Selector("a")]),
        ("sum by (job, le) (rate(a_total[5m]))", [Selector("a_total", (), 300.0)]),
        ("sum(rate(a[1h30m:1m])) without (b)", [Selector("a", (), 5400.0)]),
        ('a{b="c", d=~"e|f",} > 0', [Selector("a", (("b", 'b="c"'), ("d", 'd=~"e|f"')))]),
        ("a{b='}{'}[300ms]", [Selector("a", (("b", "b='}{'"),), 0.3)]),
        ("a / on (x, y) group_left (z) b", [Selector("a"), Selector("b")]),
        ("a * ignoring(x) b", [Selector("a"), Selector("b")]),
        ("a and b or 0 * c unless d", [Selector(name) for name in "abcd"]),
        ('{"a.b", "c.d"="e"}', [Selector("a.b", (("c.d", '"c.d"="e"'),))]),
        ('{__name__="a", b!=""}', [Selector("a", (("b", 'b!=""'),))]),
        ('{__name__=~"a.+"}', []),
        ('label_replace(a, "x", "$1", "y", "(.*)")', [Selector("a")]),
        ("topk(3, a offset 5m)", [Selector("a")]),
        ("histogram_quantile(0.95, sum by (le) (a_bucket))", [Selector("a_bucket")]),
        ("vector(1) + time() # a comment", []),
        ("sum(a[", [Selector("a")]),
        ("{", []),
        ("1e3 + 0x1f + Inf", []),
    ],
)
def test_selectors_are_found_in_an_expression(expression, found):
    """Functions, keywords, labels, strings and numbers are ignored."""
    assert selectors(expression) == found


@pytest.mark.parametrize("text", ['"', "{", 'a{"', "by(", "\\", "a ", "#", "(", 'a{b="\\"'])
def test_long_expressions_take_linear_time(text):
    """A board can contain any text."""
    began = time.thread_time()
    selectors(text * 100_000)
    assert time.thread_time() - began < 10


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.question)
def test_each_essential_query_is_narrowed_and_has_its_window(query):
    found = selectors(query.promql('job="api"', "7m"))
    assert found
    assert all(("job", 'job="api"') in one.matchers for one in found)
    assert {one.window for one in found} <= {None, 420.0}
    assert "%" not in query.promql()


def test_names_with_dots_are_quoted():
    """Prometheus 3 and VictoriaMetrics read these."""
    assert selector("a_b", ['c="d"']) == 'a_b{c="d"}'
    assert selector("a.b", ['c="d"']) == '{"a.b",c="d"}'
    assert matcher("a.b", ['x"\\']) == '"a.b"="x\\"\\\\"'
    assert matcher("job", ["lab/a.b", "shop/a.b"]) == r'job=~"lab/a\\.b|shop/a\\.b"'
