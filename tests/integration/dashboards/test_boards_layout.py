"""How the boards are laid out, and what each panel tells beside its numbers."""

import re
from collections.abc import Iterator
from itertools import combinations
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from gluellm_dashboards import boards, build, config
from gluellm_dashboards.boards.importing import importable
from gluellm_dashboards.rules.alerts import ALERTS
from gluellm_dashboards.style import NEUTRAL, PHASE_COLORS

from .reading import FILES, document, headed, panels

COLUMNS = 24
EACH = pytest.mark.parametrize(
    "board", [document(file) for file in FILES], ids=lambda board: board["uid"]
)


def areas(board: dict[str, Any]) -> Iterator[list[dict[str, int]]]:
    """The places of panels that are seen together: as the board opens, and in each closed row."""
    yield [panel["gridPos"] for panel in board["panels"]]
    for panel in board["panels"]:
        if panel.get("panels"):
            yield [panel["gridPos"], *(inside["gridPos"] for inside in panel["panels"])]


def links_of(node: object) -> Iterator[str]:
    """The addresses anywhere in a document."""
    if isinstance(node, dict):
        if isinstance(node.get("url"), str):
            yield node["url"]
        for value in node.values():
            yield from links_of(value)
    elif isinstance(node, list):
        for value in node:
            yield from links_of(value)


def test_there_are_the_four_boards_that_answer_a_question_each():
    """By the addresses that alerts, links and people know them by."""
    found = {board["uid"] for board in map(document, FILES)}
    assert found == {"gluellm-overview", "gluellm-pool", "gluellm-provider", "gluellm-fleet"}


def test_titles_of_boards_differ():
    """Grafana refuses two boards of one title in a folder."""
    titles = [document(file)["title"] for file in FILES]
    assert len(set(titles)) == len(titles)


@EACH
def test_ids_and_titles_of_panels_differ(board):
    """Links go by the id, and people by the title."""
    for key in ("id", "title"):
        found = [panel[key] for panel in headed(board)]
        assert len(set(found)) == len(found)


@EACH
def test_panels_stay_within_the_grid_and_do_not_overlap(board):
    """Each has a place of its own, as wide as the grid at most."""
    for places in areas(board):
        for place in places:
            assert place["w"] > 0
            assert place["h"] > 0
            assert 0 <= place["x"] <= COLUMNS - place["w"]
        for one, other in combinations(places, 2):
            beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
            above = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
            assert beside or above, (one, other)


@EACH
def test_rows_of_panels_are_filled(board):
    """No hole in the middle: panels that begin at one height are as wide as the grid together."""
    for places in areas(board):
        for height in {place["y"] for place in places}:
            assert sum(place["w"] for place in places if place["y"] == height) == COLUMNS


@EACH
def test_panels_follow_each_other_without_a_gap(board):
    """Nothing is left free below a row of panels, nor for what is in a closed one."""
    for places in areas(board):
        ends = {place["y"] + place["h"] for place in places}
        assert {place["y"] for place in places} - ends <= {min(place["y"] for place in places)}


@EACH
def test_rows_that_hold_panels_are_closed(board):
    """Grafana drops the panels in an open row: those of one follow it."""
    for row in [panel for panel in board["panels"] if panel["type"] == "row"]:
        assert bool(row["collapsed"]) == bool(row["panels"])


@EACH
def test_every_panel_tells_how_to_read_it(board):
    """A description of some length, a unit, and words of its own for no data."""
    for panel in panels(board):
        assert len(panel["description"]) > 10
        if panel["type"] == "text":
            continue
        defaults = panel["fieldConfig"]["defaults"]
        assert defaults["unit"]
        assert defaults["noValue"]
        assert defaults["noValue"] != "0"
        assert "`" not in defaults["noValue"], "it is plain text, no Markdown"
        assert defaults["thresholds"]["steps"]
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}


@EACH
def test_a_number_without_data_has_no_colour_of_health(board):
    """Nothing reported is neutral; green begins with the value 0."""
    for panel in panels(board):
        if panel["type"] in {"stat", "bargauge"}:
            steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
            assert steps[0] == {"color": NEUTRAL, "value": None}
            assert steps[1]["value"] == 0


@EACH
def test_a_legend_says_nothing_of_a_line_that_has_ended(board):
    """A dash: neither what the line ended with, nor the words that the panel has for no data."""
    for panel in panels(board):
        if panel["type"] == "timeseries":
            calculations = panel["options"]["legend"]["calcs"]
            assert "last" in calculations
            assert "lastNotNull" not in calculations
            (dash,) = panel["fieldConfig"]["defaults"]["mappings"]
            assert dash["options"] == {"match": "null+nan", "result": {"text": "-"}}


@EACH
def test_phases_come_in_one_order(board):
    """The provider's, the pool's, the application's: by the queries, or by where one query's go."""
    phases = list(PHASE_COLORS)
    for panel in panels(board):
        asked = [
            target["expr"]
            for target in panel.get("targets", [])
            if target["legendFormat"] == "{{gluellm_request_phase}}"
        ]
        if len(asked) == 1:
            places = panel["transformations"][-1]["options"]["indexByName"]
            assert sorted(places, key=places.__getitem__) == ["Time", *phases]
        elif asked:
            parts = [
                sorted(map(phases.index, re.findall(r"\w+", found)))
                for expression in asked
                for found in re.findall(r'gluellm_request_phase=~?"([^"]+)"', expression)
            ]
            assert [place for part in parts for place in part] == list(range(len(phases)))


@EACH
def test_shares_and_counts_have_no_digits_that_tell_nothing(board):
    """A share has one decimal beside an axis and none elsewhere, a count none at all."""
    for panel in panels(board):
        if panel["type"] in {"text", "table"}:
            continue
        defaults = panel["fieldConfig"]["defaults"]
        if defaults["unit"] == "percentunit":
            assert defaults["decimals"] == (1 if panel["type"] == "timeseries" else 0)
        if defaults["unit"] == "short":
            assert defaults["decimals"] <= 1


@EACH
def test_columns_of_tables_have_a_unit_and_a_name(board):
    """Each query of a table is renamed, and each name has its unit."""
    for panel in panels(board):
        if panel["type"] != "table":
            continue
        organized = panel["transformations"][-1]["options"]["renameByName"]
        units = {
            override["matcher"]["options"]
            for override in panel["fieldConfig"]["overrides"]
            for wanted in override["properties"]
            if wanted["id"] == "unit"
        }
        several = len(panel["targets"]) > 1
        for target in panel["targets"]:
            assert organized[f"Value #{target['refId']}" if several else "Value"] in units


@EACH
def test_links_lead_to_boards_that_exist(board):
    """By their uid, with variables that they have."""
    known = {found["uid"]: found for found in map(document, FILES)}
    addresses = list(links_of(board))
    assert addresses or board["uid"] in ("gluellm-pool", "gluellm-provider")  # no runbooks
    for address in filter(None, addresses):
        there = urlsplit(address)
        variables = {
            variable["name"]
            for variable in known[there.path.removeprefix("/d/")]["templating"]["list"]
        }
        chosen = {
            key.removeprefix("var-") for key in parse_qs(there.query) if key.startswith("var-")
        }
        assert chosen <= variables


@EACH
def test_every_board_leads_to_the_others(board):
    """By the tag, with the variables and the time."""
    assert config.TAG in board["tags"]
    (link,) = [link for link in board["links"] if link["type"] == "dashboards"]
    assert link["tags"] == [config.TAG]
    assert link["includeVars"]
    assert link["keepTime"]


@EACH
def test_durations_show_exemplars(board):
    """A line of quantiles leads to the traces behind it; nothing else asks for any."""
    for panel in panels(board):
        for target in panel.get("targets", []):
            of_time = "histogram_quantile(" in target["expr"] and not target.get("instant")
            assert target.get("exemplar", False) == of_time


@EACH
def test_nothing_is_filled_in_that_only_an_import_fills_in(board):
    """A provisioned file has no inputs: what they would fill in would stay as it is."""
    assert "__inputs" not in board
    assert "${DS_" not in str(board)


@EACH
def test_an_import_by_hand_asks_for_the_data_source(board):
    """Its form has one input, which chooses the variable; the board itself stays as it is."""
    before = str(board)
    found = importable(board)
    (wanted,) = found["__inputs"]
    (variable,) = [one for one in found["templating"]["list"] if one["type"] == "datasource"]
    assert variable["current"]["value"] == f"${{{wanted['name']}}}"
    required = {one["id"] for one in found["__requires"] if one["type"] == "panel"}
    assert required == {panel["type"] for panel in panels(board)}
    assert found["panels"] == board["panels"]
    assert str(board) == before


def test_files_are_what_the_source_says():
    """The committed boards are those that the source makes."""
    made = boards.files()
    assert {file.name: file.read_text() for file in FILES} == {
        path.removeprefix("grafana/"): text for path, text in made.items()
    }


def test_links_to_runbooks_are_of_alerts_that_exist():
    """Where a base is configured."""
    base = "https://wiki.example.com/pools"
    texts = "".join(build.generated(base).values())
    found = set(re.findall(rf"{base}/(\w+)\.md", texts))
    assert found == {alert.name for alert in ALERTS}
