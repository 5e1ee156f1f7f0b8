"""All queries of boards and rules show what each act of the demo implies, in every store."""

import math

import pytest

from gluellm_pools.verify.boards import label_query

from ..files import rules
from .asking import STEP, Asking, ask, ask_between, boards, filled
from .empty import LACKS, UNSHOWN, acts_with_data
from .implied import ALERTS, ANTHROPIC, FINDINGS, HTTP2, IMPLIED, OPENAI, Implied, last
from .playing import VICTORIA_METRICS, WAYS, WINDOW, Story, Way

pytestmark = pytest.mark.timeout(300)  # the story is played before the first test

BOARDS = boards()
NARROWEST = max(BOARDS, key=lambda board: len(board.variables))
"""Board with the most variables: they fill in the queries of all signals."""
_HOUR = 3600.0
STARTED = "Processes started"
_MOMENT = 2.0
"""Seconds."""


_EITHER = ("Prometheus, OTLP", VICTORIA_METRICS)
"""One ingestion path for each kind of store, for tests in which the path makes no difference."""
of_either = pytest.mark.parametrize("way", _EITHER, indirect=True)


@pytest.fixture(params=WAYS)
def way(story: Story, request: pytest.FixtureRequest) -> Way:
    """Ingestion path."""
    return next(way for way in story.ways if way.name == request.param)


def of(board: Asking) -> str:
    """The name of a board's test."""
    return board.title


@pytest.mark.parametrize("board", BOARDS, ids=of)
def test_each_query_has_data_where_the_act_implies_some(
    story: Story, way: Way, board: Asking
) -> None:
    """No query is refused. `empty` lists the queries that may have no data, and why."""
    wrong = []
    for question in board.questions:
        answer = ask(way, story, filled(question.expression, board.variables, job=way.job))
        if answer.error:
            wrong.append(f"{question.panel}: {answer.error}")
        for act in acts_with_data(question.expression, way):
            if not answer.during(story.periods[act]):
                wrong.append(f"{question.panel}: nothing in {act}: {question.expression}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("board", BOARDS, ids=of)
def test_each_legend_and_column_shows_labels_that_the_answer_has(
    story: Story, way: Way, board: Asking
) -> None:
    """A misspelt or aggregated label would leave the legend or column empty."""
    for question in board.questions:
        answer = ask(way, story, filled(question.expression, board.variables, job=way.job))
        if answer.series:
            missing = {name for name in question.labels if not answer.has_label(name)}
            assert missing <= UNSHOWN.keys() | LACKS.get(way.name, set()), question


@of_either
@pytest.mark.parametrize("board", BOARDS, ids=of)
def test_what_the_demo_does_not_have_is_empty_without_an_error(
    story: Story, way: Way, board: Asking
) -> None:
    """The table of what may be empty does not excuse queries that have data."""
    for question in board.questions:
        if not acts_with_data(question.expression, way):
            answer = ask(way, story, filled(question.expression, board.variables, job=way.job))
            assert not answer.error
            assert not answer.series, question


@pytest.mark.parametrize("implied", IMPLIED, ids=str)
def test_each_act_shows_on_the_boards(story: Story, way: Way, implied: Implied) -> None:
    """The values match the act, in every store."""
    chosen = {"job": way.job, **({"pool": implied.pool} if implied.pool else {})}
    expression = filled(implied.expression, NARROWEST.variables, **chosen)
    answer = ask(way, story, expression)
    period = story.periods[implied.act]
    # The effect of an act may arrive late. The last value must be from the act itself.
    period = period if implied.of is last else period.until_stored
    values = answer.during(period, **implied.labels)
    value = implied.of([value for value in values if not math.isnan(value)])
    assert implied.at_least <= value <= implied.at_most, (values, expression)


def test_only_pools_of_calls_are_shown(story: Story, way: Way) -> None:
    """The pools of the demo's exporters are not shown, even with the scope ``all``."""
    query = f'count by (gluellm_pool_name) (gluellm_pool_opened_total{{job="{way.job}"}})'
    answer = ask(way, story, query)
    names = {labels["gluellm_pool_name"] for labels, _ in answer.series}
    assert names == {OPENAI, ANTHROPIC, HTTP2}


@of_either
@pytest.mark.parametrize("board", BOARDS, ids=of)
def test_a_board_without_data_shows_nothing_and_no_error(
    story: Story, way: Way, board: Asking
) -> None:
    """For an unknown job, or a time before the first export, no panel shows an error."""
    before = story.began - 2 * _HOUR
    for expression in board.expressions:
        for job, began in (("nowhere", story.began), (way.job, before)):
            asked = filled(expression, board.variables, job=job)
            answer = ask_between(way.store, asked, began, began + 10)
            assert not answer.error
            assert not answer.series, asked


@pytest.mark.parametrize("board", BOARDS, ids=of)
def test_each_variable_offers_the_stored_values(story: Story, way: Way, board: Asking) -> None:
    """A variable whose selector matches nothing would leave the board empty."""
    for variable in board.variables:
        found = label_query(variable)
        if found is not None:
            label, selector = found
            selector = filled(selector, board.variables, job=way.job)
            parameters = {
                "match[]": selector,
                "start": f"{story.began:.3f}",
                "end": f"{story.ended:.3f}",
            }
            offered = way.store.ask(f"/api/v1/label/{label}/values", parameters)
            assert offered or label in LACKS.get(way.name, set()), (variable, selector)


@pytest.mark.parametrize("board", BOARDS, ids=of)
def test_the_start_of_the_process_is_annotated(story: Story, way: Way, board: Asking) -> None:
    """There is one annotation at the start, not one for each step. No annotation is refused."""
    for name, expression in board.annotations.items():
        expression = filled(expression, board.variables, job=way.job)
        answer = ask_between(way.store, expression, story.started, story.ended)
        assert not answer.error
        if name == STARTED:
            times = [at for _, samples in answer.series for at, _ in samples]
            assert times
            assert max(times) < min(times) + WINDOW + _MOMENT
    assert STARTED in board.annotations


def test_each_recording_rule_has_data_in_each_act(story: Story, way: Way) -> None:
    """The fleet board needs the recorded series from the first act on."""
    for rule in rules("record"):
        answer = ask(way, story, rule["expr"])
        assert not answer.error
        for act in acts_with_data(rule["expr"], way):
            assert answer.during(story.periods[act], job=way.job), (act, rule)


def test_each_alert_holds_in_the_act_that_it_is_about(story: Story, way: Way) -> None:
    """It does not hold in the act before. Alerts about other problems hold in no act."""
    named = [((rule["alert"], rule["labels"].get("kind", "")), rule) for rule in rules("alert")]
    assert ALERTS.keys() < {name for name, _ in named}
    for name, rule in named:
        answer = ask(way, story, rule["expr"])
        assert not answer.error, rule
        if rule["alert"] in FINDINGS:
            assert not answer.during(story.periods["healthy"], job=way.job), rule
        elif name not in ALERTS:
            for period in story.periods.values():
                # A failed scrape leaves a gap, and a stream is silent before an act ends. ``for``,
                # which is 2 minutes or more, bridges both.
                assert len(answer.during(period, job=way.job)) * STEP <= 1.5 * _MOMENT, rule
        else:
            holds, before = ALERTS[name]
            assert answer.during(story.periods[holds], job=way.job), rule
            assert not answer.during(story.periods[before], job=way.job), rule
