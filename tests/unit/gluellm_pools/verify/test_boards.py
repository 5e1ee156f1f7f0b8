"""Grafana dashboards: their queries, and the values of their variables."""

import json

import pytest

from gluellm_pools.main import main
from gluellm_pools.verify.boards import (
    BoardError,
    Variable,
    built_in,
    filled_in,
    first_value,
    label_query,
    read_board,
    read_boards,
)

from .test_hostile import store


def written(tmp_path, body, name="board.json"):
    path = tmp_path / name
    path.write_text(body if isinstance(body, str) else json.dumps(body))
    return path


def test_queries_are_found_in_panels_and_rows(tmp_path):
    """Rows include collapsed ones and those of old boards. Hidden and Loki queries are ignored."""
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
    """Grafana computes the window of a rate from it."""
    targets = [{"expr": "a", "interval": "$interval"}, {"expr": "b"}]
    panel = {"title": "p", "interval": "30s", "targets": targets}
    plain = {"title": "q", "targets": [{"expr": "c"}]}
    board = read_board(written(tmp_path, {"panels": [panel, plain]}))
    assert [one.step for one in board.targets] == ["$interval", "30s", ""]


def test_annotations_are_queries_too(tmp_path):
    """Both formats; those of other data sources and disabled ones are ignored."""
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
    assert [(one.panel, one.expression, one.step) for one in board.targets] == [
        ("annotation new", "a", "60s"),
        ("annotation old", "b", "30s"),
    ]
    assert read_board(written(tmp_path, {"panels": [], "annotations": None})).targets == ()


def test_a_folder_may_hold_other_files(tmp_path):
    """It needs at least one board."""
    written(tmp_path, {"name": "package"}, "package.json")
    with pytest.raises(BoardError, match="no Grafana dashboard"):
        read_boards([tmp_path])
    written(tmp_path, {"title": "T", "panels": []})
    assert [board.title for board in read_boards([tmp_path])] == ["T"]
    with pytest.raises(BoardError, match="No such file"):
        read_boards([tmp_path / "nowhere"])
    with pytest.raises((BoardError, OSError), match="File name too long"):
        read_boards([tmp_path / ("a" * 300)])


def test_variables_are_replaced_in_every_notation():
    """Current and old notations."""
    values = {"job": "api", **built_in(3600, 15)}
    text = "$job ${job} ${job:regex} [[job]] [[job:raw]] $__rate_interval [$__range] $1 $other"
    assert filled_in(text, values) == "api api api api api 60s [3600s] $1 $other"
    assert built_in(3600, 60)["__rate_interval"] == "240s"


def test_a_variable_s_value_is_what_grafana_shows_at_first():
    """It is the saved choice if that still exists, else all, else the first."""
    for given, values, shown in (
        ({"saved": "x"}, ["x", "y"], "x"),
        ({"saved": "gone"}, ["x", "y"], "x"),
        ({"saved": "gone", "all_value": ".*"}, ["x"], ".*"),
        ({"all_value": ".+"}, ["x"], ".+"),
        ({}, [], ".*"),
    ):
        assert first_value(Variable("a", "query", **given), values) == shown
    assert first_value(Variable("a", "interval")) == "5m"


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
def test_query_of_a_variable_is_parsed(query, found):
    """The result has label and selector, whatever the spaces."""
    assert label_query(Variable("v", "query", query)) == found


def test_a_query_can_be_wrapped(tmp_path):
    """Newer Grafana saves it wrapped, with the chosen value."""
    variable = {
        "name": "job",
        "type": "query",
        "query": {"query": "label_values(a, job)", "refId": "x"},
        "current": {"value": ["$__all"]},
        "includeAll": True,
    }
    board = read_board(written(tmp_path, {"panels": [], "templating": {"list": [variable]}}))
    assert board.variables == (Variable("job", "query", "label_values(a, job)", "", ".*"),)


# A board that can't be used is named, refused at once, and does not stop others


_BROKEN = {
    "panels nested far too deep": ('{"panels":[' * 3000 + "]}" * 3000, "nested too deep"),
    "lists nested far too deep": ("[" * 100_000, "nested too deep"),
    "no JSON": ("{", "no JSON"),
    "too many values": ("[" + "1," * 20_000_000, "more than 1000000 values"),
    "many small values": ("[" + "{}," * 600_000 + "{}]", "more than 1000000 values"),
}


@pytest.mark.parametrize("what", _BROKEN)
def test_a_broken_board_is_refused_by_name(tmp_path, what):
    """The message has the reason. No query is sent."""
    body, message = _BROKEN[what]
    with pytest.raises(BoardError, match=message):
        read_board(written(tmp_path, body))


@pytest.mark.parametrize("body", ["[]", "{}", '{"panels": 3}', "null"])
def test_other_json_is_no_board(tmp_path, body):
    path = written(tmp_path, body)
    assert read_board(path) is None
    with pytest.raises(BoardError, match="no Grafana dashboard"):
        read_boards([path])


def test_odd_values_in_a_board_are_ignored(tmp_path):
    """Grafana ignores them as well."""
    panels = [{"targets": 5}, {"panels": 5}, {"targets": [3, {"expr": "up"}]}]
    body = {"panels": panels, "templating": [1], "annotations": {"list": 5}}
    board = read_board(written(tmp_path, body))
    assert [one.expression for one in board.targets] == ["up"]
    assert board.variables == ()


def test_a_broken_board_in_a_folder_is_reported_and_the_others_are_run(tmp_path, capsys):
    """One file of many; the exit status shows that one board was not read."""
    written(tmp_path, "{", "a.json")
    with pytest.raises(BoardError, match=r"no Grafana dashboard.*can't use .*a\.json"):
        read_boards([tmp_path])
    written(tmp_path, {"title": "Sound", "panels": [{"targets": [{"expr": "up"}]}]}, "b.json")
    broken, sound = read_boards([tmp_path])
    assert (broken.title, broken.targets, sound.title) == ("a.json", (), "Sound")
    assert "no JSON" in broken.broken
    with store() as url:
        status = main(["verify", "--prometheus", url, "--boards", str(tmp_path), "--json"])
    assert status == 1
    queries = json.loads(capsys.readouterr().out)["queries"]
    (outcome,) = [one for one in queries if one["board"] == "a.json"]
    assert outcome["reason"]
    assert not outcome["fine"]
    assert [one["rows"] for one in queries if one["board"] == "Sound"] == [1]


def test_expansion_of_nested_variables_is_bounded():
    """A million references to a text of a million characters would fill the memory."""
    values = {"a": "$b" * 40_000, "b": "x" * 80_000}
    assert len(filled_in("$a" * 10, values)) < 1_000_000
