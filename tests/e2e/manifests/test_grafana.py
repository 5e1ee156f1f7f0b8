"""The ways in which boards come into Grafana, each as far as it goes without a Grafana."""

from __future__ import annotations

import json
import re
import subprocess
from typing import Any

import pytest

from ..running import HOST
from ..serving import Request, serving
from .reading import DASHBOARDS, GRAFANA, boards, load

# What Grafana's file provider reads; it says nothing about a key that it doesn't know.
PROVIDER = set(
    "name orgId folder folderUid type disableDeletion updateIntervalSeconds allowUiUpdates"
    " options".split()
)
# And of a data source.
DATA_SOURCE = set(
    "name uid type access orgId url isDefault basicAuth basicAuthUser jsonData secureJsonData"
    " editable version".split()
)
REPLACED = re.compile(r"\$\{.+?\}")


@pytest.mark.parametrize("uid", boards())
def test_a_board_can_come_by_any_way(uid: str) -> None:
    """It keeps its address, collides with nothing, and names no data source of somebody else."""
    board = boards()[uid]
    assert re.fullmatch(r"[a-zA-Z0-9_-]{1,40}", uid)
    assert (GRAFANA / f"{uid}.json").exists()
    assert board["title"]
    # An id is that of one Grafana's database; a version would refuse a newer board.
    assert board.keys().isdisjoint({"id", "version", "__inputs", "__requires"})
    assert _data_sources(board) == {"${datasource}"}


def test_the_provider_reads_each_board_once() -> None:
    """It reads folders in its folder too, and refuses what has the uid of another."""
    file = load("grafana/provisioning/dashboards/gluellm.yaml")
    (provider,) = file["providers"]
    assert (file["apiVersion"], provider["type"]) == (1, "file")
    assert provider.keys() <= PROVIDER
    assert provider["options"].keys() <= {"path", "foldersFromFilesStructure"}
    found = [json.loads(path.read_text()) for path in sorted(GRAFANA.rglob("*.json"))]
    assert len(found) == len({board["uid"] for board in found}) == 4
    assert len({board["title"] for board in found}) == 4


def test_the_folder_has_one_name_on_all_ways() -> None:
    """Provisioning, the sidecar and the mixin put boards into the same folder."""
    (provider,) = load("grafana/provisioning/dashboards/gluellm.yaml")["providers"]
    annotations = load("kubernetes/gluellm-pool.yaml")["metadata"]["annotations"]
    assert provider["folder"] == annotations["grafana_folder"]
    assert f"'{provider['folder']}'" in (DASHBOARDS / "mixin.libsonnet").read_text()


def test_the_example_of_a_data_source_is_one_that_boards_can_choose() -> None:
    """Of the type that their variable offers."""
    (source,) = load("grafana/provisioning/datasources/prometheus.yaml")["datasources"]
    assert source.keys() <= DATA_SOURCE
    for board in boards().values():
        (variable,) = [one for one in board["templating"]["list"] if one["type"] == "datasource"]
        assert variable["query"] == source["type"]


@pytest.mark.parametrize("uid", boards())
def test_import_by_hand_fills_in_the_chosen_data_source(uid: str) -> None:
    """As Grafana's pages do it; what comes of it is the board, with the choice in its variable."""
    form = json.loads((DASHBOARDS / "import" / f"{uid}.json").read_text())
    inputs = {f"${{{one['name']}}}": "mine" for one in form.pop("__inputs")}
    assert inputs == {"${DS_PROMETHEUS}": "mine"}
    imported = _filled_in(form, inputs)
    assert imported.pop("__elements") == {}
    required = {(one["type"], one["id"]) for one in imported.pop("__requires")}
    panels = {("panel", panel["type"]) for panel in imported["panels"] if panel["type"] != "row"}
    assert required == {("grafana", "grafana"), ("datasource", "prometheus"), *panels}
    (variable,) = [one for one in imported["templating"]["list"] if one["type"] == "datasource"]
    assert variable.pop("current")["value"] == "mine"
    assert "DS_PROMETHEUS" not in json.dumps(imported)
    assert imported == boards()[uid]


def _filled_in(value: Any, inputs: dict[str, str]) -> Any:
    """What Grafana's import does: it replaces ``${NAME}`` of an input wherever it stands."""
    if isinstance(value, dict):
        return {key: _filled_in(one, inputs) for key, one in value.items()}
    if isinstance(value, list):
        return [_filled_in(one, inputs) for one in value]
    if isinstance(value, str):
        return REPLACED.sub(lambda found: inputs.get(found[0], found[0]), value)
    return value


def _data_sources(value: Any) -> set[str]:
    """The uids of all data sources that are named anywhere."""
    if isinstance(value, list):
        return {uid for one in value for uid in _data_sources(one)}
    if not isinstance(value, dict):
        return set()
    own = value.get("datasource")
    found = {own["uid"]} if isinstance(own, dict) else set()
    return found | {uid for one in value.values() for uid in _data_sources(one)}


def test_the_commands_of_the_readme_send_each_board_to_the_http_api() -> None:
    """The folder first, then the boards into it; a second time overwrites, and keeps them there."""
    requests: list[Request] = []

    def answer(request: Request) -> str:
        requests.append(request)
        return '{"status":"success"}'

    text = (DASHBOARDS / "README.md").read_text()
    (commands,) = re.findall(r"```sh\n(.*?/api/dashboards/db.*?)```", text, re.DOTALL)
    with serving(answer) as port:
        run = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", commands],
            env={
                "PATH": "/usr/local/bin:/usr/bin:/bin",
                "GRAFANA": f"http://{HOST}:{port}",
                "TOKEN": "secret",
            },
            cwd=DASHBOARDS,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert run.returncode == 0, run.stderr
    assert {request.headers["Authorization"] for request in requests} == {"Bearer secret"}
    assert [request.path for request in requests] == ["/api/folders", *["/api/dashboards/db"] * 4]
    folder, *sent = [json.loads(request.body) for request in requests]
    (provider,) = load("grafana/provisioning/dashboards/gluellm.yaml")["providers"]
    assert folder == {"uid": provider["folderUid"], "title": provider["folder"]}
    assert {body["dashboard"]["uid"]: body for body in sent} == {
        uid: {"dashboard": board, "folderUid": folder["uid"], "overwrite": True}
        for uid, board in boards().items()
    }
