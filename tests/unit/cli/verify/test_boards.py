"""Grafana dashboards: which queries, with which values."""

import json

import pytest

from opentelemetry.instrumentation.gluellm.cli.verify.boards import (
    BoardError,
    read_board,
    read_boards,
)
from opentelemetry.instrumentation.gluellm.cli.verify.variables import (
    Variable,
    built_in,
    filled_in,
    label_query,
    unknown_variables,
    value_of,
)


def written(tmp_path, body, name="board.json"):
    path = tmp_path / name
    path.write_text(body if isinstance(body, str) else json.dumps(body))
    return path


def test_queries_are_found_wherever_they_stand(tmp_path):
    """In panels, in collapsed rows, in the rows of old boards; not hidden ones, not Loki's."""
    panel = {"title": "a", "targets": [{"expr": "a"}, {"expr": "hidden", "hide": True}, {}]}
    loki = {"title": "l", "datasource": {"type": "loki"}, "targets": [{"expr": "{a=`b`}"}]}
    row = {"type": "row", "panels": [{"title": "b", "targets": [{"expr": " b "}]}]}
    board = read_board(written(tmp_path, {"title": "T", "panels": [panel, loki, row, "odd"]}))
    assert [(one.panel, one.expression) for one in board.targets] == [("a", "a"), ("b", "b")]
    assert board.title == "T"
    old = read_board(written(tmp_path, {"dashboard": {"rows": [{"panels": [panel]}]}}))
    assert [one.expression for one in old.targets] == ["a"]
    assert old.title == "board"


def test_the_shortest_step_is_the_query_s_or_the_panel_s(tmp_path):
    """Which Grafana makes the window of a rate of."""
    targets = [{"expr": "a", "interval": "$interval"}, {"expr": "b"}]
    panel = {"title": "p", "interval": "30s", "targets": targets}
    plain = {"title": "q", "targets": [{"expr": "c"}]}
    board = read_board(written(tmp_path, {"panels": [panel, plain]}))
    assert [one.step for one in board.targets] == ["$interval", "30s", ""]


def test_annotations_are_queries_too(tmp_path):
    """In today's form and in the older one; not those of others, nor what is switched off."""
    listed = [
        {"name": "new", "target": {"expr": " a ", "interval": "60s"}, "expr": "old form"},
        {"name": "old", "expr": "b", "step": "30s", "enable": True},
        {"name": "off", "expr": "c", "enable": False},
        {"name": "logs", "expr": "d", "datasource": {"type": "loki"}},
        {"name": "Annotations & Alerts", "builtIn": 1, "type": "dashboard"},
        {"name": "odd", "target": "e"},
        "odd",
    ]
    board = read_board(written(tmp_path, {"panels": [], "annotations": {"list": listed}}))
    assert [(one.panel, one.expression, one.step) for one in board.annotations] == [
        ("annotation new", "a", "60s"),
        ("annotation old", "b", "30s"),
    ]
    assert read_board(written(tmp_path, {"panels": [], "annotations": None})).annotations == ()


def test_a_variable_without_values_does_no_harm_where_all_lets_everything_through():
    """Also what lacks the label."""
    for given, harmless in (
        ({"all_value": ".*", "has_all": True}, True),
        ({"all_value": ".+", "has_all": True}, False),
        ({"has_all": True}, False),
        ({"all_value": ".*"}, False),
    ):
        assert Variable("a", "query", **given).may_be_empty is harmless


@pytest.mark.parametrize("body", ["{", "[]", "{}", '{"panels": 3}', "null"])
def test_what_is_no_board_is_refused(tmp_path, body):
    """With the file's name."""
    with pytest.raises(BoardError, match=r"board\.json"):
        read_board(written(tmp_path, body))


def test_a_folder_may_hold_other_files(tmp_path):
    """One board is enough, none is not."""
    written(tmp_path, {"name": "package"}, "package.json")
    with pytest.raises(BoardError, match="no Grafana dashboard"):
        read_boards([tmp_path])
    written(tmp_path, {"title": "T", "panels": []})
    assert [board.title for board in read_boards([tmp_path])] == ["T"]
    with pytest.raises(BoardError, match="no file"):
        read_boards([tmp_path / "nowhere"])


def test_all_ways_to_write_a_variable():
    """Of today and of old."""
    values = {"job": "api", **built_in(3600, 15)}
    text = "$job ${job} ${job:regex} [[job]] [[job:raw]] $__rate_interval [$__range] $1 $other"
    assert filled_in(text, values) == "api api api api api 60s [3600s] $1 $other"
    assert built_in(3600, 60)["__rate_interval"] == "240s"
    assert unknown_variables(text, [Variable("job", "query")]) == ["1", "other"]


def test_a_variable_s_value_is_what_grafana_shows_at_first():
    """The saved choice where it still exists, else all, else the first."""
    for given, values, shown in (
        ({"chosen": ("x",)}, ["x", "y"], "x"),
        ({"chosen": ("gone",)}, ["x", "y"], "x"),
        ({"chosen": ("gone",), "has_all": True}, ["x"], ".*"),
        ({"has_all": True, "all_value": ".+"}, ["x"], ".+"),
        ({"chosen": ("a.b", "c"), "has_all": True}, ["a.b", "c"], r"a\\.b|c"),
    ):
        assert value_of(Variable("a", "query", **given), values) == shown
    assert value_of(Variable("a", "interval")) == "5m"


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("label_values(a, job)", ("job", "a")),
        ('label_values(a{b="c",d="e"}, job)', ("job", 'a{b="c",d="e"}')),
        ("label_values(job)", ("job", "")),
        ("label_values( a , job )", ("job", "a")),
        (" label_values(\n  a{b='c)'},\n  job\n) ", ("job", "a{b='c)'}")),
        *((f"label_values({wrong}", None) for wrong in (", job)", ")", "a, job", "a, b c)")),
        ("query_result(a)", None),
    ],
)
def test_what_a_variable_asks_for(query, found):
    """Label and selector, with the spaces that people write."""
    assert label_query(Variable("v", "query", query)) == found


def test_a_query_can_be_wrapped(tmp_path):
    """As newer Grafana saves it, with what was chosen."""
    variable = {
        "name": "job",
        "type": "query",
        "query": {"query": "label_values(a, job)", "refId": "x"},
        "current": {"value": ["$__all"]},
        "includeAll": True,
    }
    board = read_board(written(tmp_path, {"panels": [], "templating": {"list": [variable]}}))
    assert board.variables == (
        Variable("job", "query", "label_values(a, job)", (), "", has_all=True),
    )
