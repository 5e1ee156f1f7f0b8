"""What the preview fills into queries, as Grafana would; the pictures are looked at, not tested."""

from __future__ import annotations

import pytest

from preview.asking import Store as AskedStore
from preview.asking import beginnings, variables
from preview.filling import ALL, Span, fill, matcher, seconds, step, windows

HOUR = Span(0.0, 3600.0)


def test_rate_window_spans_four_steps_of_at_least_the_minimal_one() -> None:
    """At a short range it is four export intervals; at a long one the step and one more."""
    assert windows(HOUR, points=600, minimum="60s")["__rate_interval"] == "240s"
    week = Span(0.0, 7 * 24 * 3600.0)
    long = windows(week, points=600, minimum="60s")
    assert long["__interval"] == "900s"
    assert long["__rate_interval"] == "960s"


def test_window_without_a_minimal_step_rests_on_that_of_the_data_source() -> None:
    """It is 15 s where the data source says nothing else."""
    assert windows(HOUR, points=600, minimum="")["__rate_interval"] == "60s"


def test_step_is_the_nearest_round_one_that_fits_the_width() -> None:
    """6 s are 5 s, 8 s are 10 s; it never falls below the minimal step."""
    assert step(HOUR, points=600, min_step=1.0) == 5.0
    assert step(HOUR, points=450, min_step=1.0) == 10.0
    assert step(HOUR, points=600, min_step=30.0) == 30.0


def test_step_asks_for_no_more_points_than_prometheus_gives() -> None:
    """30 days by 1 s would be refused."""
    month = Span(0.0, 30 * 24 * 3600.0)
    assert month.seconds / step(month, points=10_000_000, min_step=1.0) <= 11_000


def test_every_way_to_write_a_variable_is_filled() -> None:
    """What has no value stays as it is: a query's `$1`, a legend's unknown."""
    text = 'a{job=~"$job",b=~"${job:regex}"}[$__rate_interval] [[job]] $other'
    filled = fill(text, {"job": "x|y", "__rate_interval": "1m"})
    assert filled == 'a{job=~"x|y",b=~"x|y"}[1m] x|y $other'


def test_longer_name_is_not_taken_for_a_shorter_one() -> None:
    """`$job_name` is no `$job`."""
    assert fill("$job_name $job", {"job": "x"}) == "$job_name x"


def test_several_values_are_either_and_their_points_are_no_wildcards() -> None:
    """Twice escaped: for the regular expression, and for PromQL's string."""
    assert matcher(["api.eu"], None, []) == "api\\\\.eu"
    assert matcher(["a", "b"], None, []) == "(a|b)"


def test_all_is_what_the_variable_says_else_each_that_there_is() -> None:
    """`.*` also lets series through that lack the label; a list of values does not."""
    assert matcher([ALL], ".*", ["a", "b"]) == ".*"
    assert matcher([ALL], None, ["a", "b"]) == "(a|b)"


def test_given_value_of_a_variable_goes_before_the_board_s() -> None:
    """And one without any has the board's; nothing is asked for either."""
    nobody = AskedStore("http://127.0.0.1:1")
    board = {
        "templating": {
            "list": [
                {
                    "name": "interval",
                    "type": "custom",
                    "query": "15s,1m",
                    "current": {"value": "1m"},
                },
                {"name": "size", "type": "custom", "query": "1,2", "current": {"value": "2"}},
            ]
        }
    }
    chosen = {one.name: one.value for one in variables(board, {"interval": "15s"}, nobody, HOUR)}
    assert chosen == {"interval": "15s", "size": "2"}


def test_event_that_lasts_is_marked_once() -> None:
    """Samples of neighbouring steps are one; a gap, or a zero, ends it."""
    samples = [(0.0, "1"), (60.0, "1"), (120.0, "0"), (180.0, "2"), (600.0, "1")]
    assert list(beginnings(samples, 60.0)) == [0.0, 180.0, 600.0]


def test_length_that_is_none_is_refused_by_what_it_was() -> None:
    """Whoever typed it sees how to write it."""
    with pytest.raises(ValueError, match="'5 minutes' is no duration: write it like 15s"):
        seconds("5 minutes")
