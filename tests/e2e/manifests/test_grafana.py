"""All ways to import boards into Grafana, as far as they can be tested without Grafana."""

import json
import re
import subprocess

from ..files import DASHBOARDS, GRAFANA, boards, load
from ..running import HOST
from ..serving import Request, serving

# Keys that Grafana's file provider reads. It ignores unknown keys silently.
PROVIDER = set(
    "name orgId folder folderUid type disableDeletion updateIntervalSeconds allowUiUpdates"
    " options".split()
)
# Keys of a data source.
DATA_SOURCE = set(
    "name uid type access orgId url isDefault basicAuth basicAuthUser jsonData secureJsonData"
    " editable version".split()
)


def test_boards_do_not_depend_on_one_grafana() -> None:
    """Ids and data sources exist in one Grafana only, and a version could be refused as older."""
    for uid, board in boards().items():
        assert (GRAFANA / f"{uid}.json").exists()
        assert board.keys().isdisjoint({"id", "version", "__inputs", "__requires"})
        sources = re.findall(r'"datasource": {[^}]*"uid": "([^"]*)"', json.dumps(board))
        assert set(sources) == {"${datasource}"}


def test_the_provider_reads_each_board_once() -> None:
    """It also reads subfolders, and refuses a board whose uid another one has."""
    file = load("grafana/provisioning/dashboards/gluellm.yaml")
    (provider,) = file["providers"]
    assert (file["apiVersion"], provider["type"]) == (1, "file")
    assert provider.keys() <= PROVIDER
    assert provider["options"].keys() <= {"path", "foldersFromFilesStructure"}
    assert len(list(GRAFANA.rglob("*.json"))) == len(boards()) == 4


def test_the_folder_has_the_same_name_everywhere() -> None:
    """Provisioning, the sidecar and the mixin put boards into the same folder."""
    (provider,) = load("grafana/provisioning/dashboards/gluellm.yaml")["providers"]
    annotations = load("kubernetes/gluellm-pool.yaml")["metadata"]["annotations"]
    assert provider["folder"] == annotations["grafana_folder"]
    assert f"'{provider['folder']}'" in (DASHBOARDS / "mixin.libsonnet").read_text()


def test_boards_can_choose_the_data_source_of_the_example() -> None:
    """It has the type that their variable offers."""
    (source,) = load("grafana/provisioning/datasources/prometheus.yaml")["datasources"]
    assert source.keys() <= DATA_SOURCE
    for board in boards().values():
        (variable,) = [one for one in board["templating"]["list"] if one["type"] == "datasource"]
        assert variable["query"] == source["type"]


def test_the_commands_of_the_readme_send_each_board_to_the_http_api() -> None:
    """They create the folder, then import the boards. Running them again overwrites the boards."""
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
