"""Layout of the boards, and the texts of their panels."""

from collections.abc import Iterator
from itertools import combinations
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from gluellm_dashboards import boards, config
from gluellm_dashboards.boards.importing import importable
from gluellm_dashboards.style import NEUTRAL

from .reading import FILES, document, headed, panels

COLUMNS = 24
EACH = pytest.mark.parametrize(
    "board", [document(file) for file in FILES], ids=lambda board: board["uid"]
)


def areas(board: dict[str, Any]) -> Iterator[list[dict[str, int]]]:
    """Yield positions of panels that are visible together: in the opened board, and in each row."""
    yield [panel["gridPos"] for panel in board["panels"]]
    for panel in board["panels"]:
        if panel.get("panels"):
            yield [panel["gridPos"], *(inside["gridPos"] for inside in panel["panels"])]


def links_of(node: object) -> Iterator[str]:
    """Yield all URLs in a document."""
    if isinstance(node, dict):
        if isinstance(node.get("url"), str):
            yield node["url"]
        for value in node.values():
            yield from links_of(value)
    elif isinstance(node, list):
        for value in node:
            yield from links_of(value)


def test_there_are_four_boards_with_stable_uids():
    """Alerts and links use these uids."""
    found = {board["uid"] for board in map(document, FILES)}
    assert found == {"gluellm-overview", "gluellm-pool", "gluellm-provider", "gluellm-fleet"}


def test_titles_of_boards_differ():
    """Grafana refuses two boards with the same title in a folder."""
    titles = [document(file)["title"] for file in FILES]
    assert len(set(titles)) == len(titles)


@EACH
def test_ids_and_titles_of_panels_differ(board):
    """Links use the id, and people use the title."""
    for key in ("id", "title"):
        found = [panel[key] for panel in headed(board)]
        assert len(set(found)) == len(found)


@EACH
def test_panels_stay_within_the_grid_and_do_not_overlap(board):
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
def test_rows_that_contain_panels_are_closed(board):
    """Grafana drops panels in an open row: they must follow the row."""
    for row in [panel for panel in board["panels"] if panel["type"] == "row"]:
        assert bool(row["collapsed"]) == bool(row["panels"])


@EACH
def test_every_panel_has_a_description_a_unit_and_a_text_without_data(board):
    """The description must not be very short, and the text must differ from "0"."""
    for panel in panels(board):
        assert len(panel["description"]) > 10
        if panel["type"] == "text":
            continue
        defaults = panel["fieldConfig"]["defaults"]
        assert defaults["unit"]
        assert defaults["noValue"]
        assert defaults["noValue"] != "0"
        assert "`" not in defaults["noValue"], "it is plain text, not Markdown"
        assert defaults["thresholds"]["steps"]
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}


@EACH
def test_descriptions_explain_each_named_line(board):
    """If a panel has several lines, its description has a list, without lines named by labels."""
    for panel in panels(board):
        if panel["type"] != "timeseries":
            continue
        legends = [target["legendFormat"] for target in panel["targets"]]
        named = [legend for legend in legends if "{{" not in legend] if len(legends) > 1 else []
        for legend in named:
            assert f"\n- `{legend}`: " in "\n" + panel["description"], panel["title"]


@EACH
def test_a_number_without_data_has_no_colour_of_health(board):
    """Without data, the colour is neutral. Green begins with the value 0."""
    for panel in panels(board):
        if panel["type"] in {"stat", "bargauge"}:
            steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
            assert steps[0] == {"color": NEUTRAL, "value": None}
            assert steps[1]["value"] == 0


@EACH
def test_links_lead_to_boards_that_exist(board):
    """They use the uid, and variables that the board has."""
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
def test_every_board_links_to_the_others(board):
    """Links find boards by the tag, and keep the variables and the time."""
    assert config.TAG in board["tags"]
    (link,) = [link for link in board["links"] if link["type"] == "dashboards"]
    assert link["tags"] == [config.TAG]
    assert link["includeVars"]
    assert link["keepTime"]


@EACH
def test_durations_show_exemplars(board):
    """Only lines of quantiles request exemplars, which link to traces."""
    for panel in panels(board):
        for target in panel.get("targets", []):
            of_time = "histogram_quantile(" in target["expr"] and not target.get("instant")
            assert target.get("exemplar", False) == of_time


@EACH
def test_boards_have_no_inputs_of_an_import(board):
    """Grafana does not fill in the inputs of a provisioned file."""
    assert "__inputs" not in board
    assert "${DS_" not in str(board)


@EACH
def test_an_import_by_hand_asks_for_the_data_source(board):
    """The import's form has one input, the value of the variable. The board is not changed."""
    before = str(board)
    found = importable(board)
    (wanted,) = found["__inputs"]
    (variable,) = [one for one in found["templating"]["list"] if one["type"] == "datasource"]
    assert variable["current"]["value"] == f"${{{wanted['name']}}}"
    required = {one["id"] for one in found["__requires"] if one["type"] == "panel"}
    assert required == {panel["type"] for panel in panels(board)}
    assert found["panels"] == board["panels"]
    assert str(board) == before


def test_committed_boards_match_their_source():
    made = boards.files()
    assert {file.name: file.read_text() for file in FILES} == {
        path.removeprefix("grafana/"): text for path, text in made.items()
    }
