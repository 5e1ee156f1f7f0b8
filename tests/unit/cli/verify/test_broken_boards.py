"""A board that can't be used is named, ends at once, and does not keep others from being run."""

import json
import os
import time

import pytest

from opentelemetry.instrumentation.gluellm.cli.main import main
from opentelemetry.instrumentation.gluellm.cli.verify import boards
from opentelemetry.instrumentation.gluellm.cli.verify.boards import (
    BoardError,
    read_board,
    read_boards,
)
from opentelemetry.instrumentation.gluellm.cli.verify.promql import duration, selectors
from opentelemetry.instrumentation.gluellm.cli.verify.variables import (
    Variable,
    filled_in,
    label_query,
    unknown_variables,
)

from .test_boards import written
from .test_hostile import store


def _nested(depth):
    return '{"panels":[' * depth + "]}" * depth


_BROKEN = {
    "a list as templating": ('{"panels":[],"templating":[1]}', "templating"),
    "a number as variables": ('{"panels":[],"templating":{"list":5}}', "list of variables"),
    "a number as queries": ('{"panels":[{"targets":5}]}', "list of queries"),
    "a number as panels": ('{"panels":[{"panels":5}]}', "list of panels"),
    "panels nested too deep": (_nested(30), "nested too deep"),
    "panels nested far too deep": (_nested(3000), "nested too deep"),
    "lists nested far too deep": ("[" * 100_000, "nested too deep"),
    "half a surrogate pair": ('{"panels":[{"targets":[{"expr":"a{b=\\"\\ud800\\"}"}]}]}', "ud800"),
    "no JSON": ("{", "no JSON"),
    "too many values": ("[" + "1," * boards.MOST_BYTES, "longer than 20 MiB"),
    "many small values": ("[" + "{}," * 600_000 + "{}]", "more than 1000000 values"),
}


@pytest.mark.parametrize("what", _BROKEN)
def test_a_broken_board_is_refused_by_name(tmp_path, what):
    """With what is wrong, before anything is asked."""
    body, told = _BROKEN[what]
    with pytest.raises(BoardError, match=rf"board\.json.*{told}"):
        read_board(written(tmp_path, body))


def test_a_broken_board_in_a_folder_is_told_and_the_others_are_run(tmp_path, capsys):
    """One file of many; the exit status says that not all could be looked at."""
    written(tmp_path, "{", "a.json")
    with pytest.raises(BoardError, match=r"holds no Grafana dashboard.*a\.json can't be used"):
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


def test_what_is_no_regular_file_is_not_read(tmp_path, capsys):
    """A pipe would be waited for without end, and a device read without end."""
    os.mkfifo(tmp_path / "pipe.json")
    (tmp_path / "zero.json").symlink_to("/dev/zero")
    (tmp_path / "gone.json").symlink_to(tmp_path / "nowhere")
    (tmp_path / "folder.json").mkdir()
    written(tmp_path, {"title": "Sound", "panels": []})
    told = {board.title: board.broken for board in read_boards([tmp_path])}
    assert list(told) == ["Sound", "gone.json", "pipe.json", "zero.json"]
    assert "no regular file" in told["pipe.json"]
    assert "no regular file" in told["zero.json"]
    assert "can't be read: No such file" in told["gone.json"]
    for name in ("pipe.json", "zero.json"):
        assert main(["verify", "--prometheus", "http://h", "--boards", str(tmp_path / name)]) == 2
        assert f"{name} can't be used: it is no regular file" in capsys.readouterr().err


@pytest.mark.parametrize(
    "read",
    [
        lambda n: label_query(Variable("v", "query", "label_values(" + " " * n + "!" * 100)),
        lambda n: label_query(Variable("v", "query", "label_values(" + " ," * n + "!)")),
        lambda n: unknown_variables("${a:" * n, []),
        lambda n: unknown_variables("[[a:" * n, []),
        lambda n: selectors('a{b="' + '\\"' * n),
        lambda n: selectors("`'\"" * n),
        lambda n: selectors("a[" + "1" * n + "]"),
        lambda n: duration("1" * n),
    ],
)
def test_a_query_is_read_in_one_pass(read):
    """Not once for each of its characters, which takes minutes."""
    began = time.thread_time()
    read(20_000)
    assert time.thread_time() - began < 1


def test_values_that_name_each_other_end_somewhere():
    """A million references to a text of a million characters would fill the memory."""
    values = {"a": "$b" * 40_000, "b": "x" * 80_000}
    assert len(filled_in("$a" * 10, values)) < 1_000_000
