"""The files of ``dashboards/dev`` fit together, and the installed programs accept them."""

import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from . import compose
from .compose import DEV, WAYS, services
from .running import succeed
from .tools.pinned import MANIFEST, collector_version, programs

COLLECTOR = DEV / "collector"
_DEFAULT = re.compile(r"\$\{env:\w+:-([^}]*)\}")
_PINNED = re.compile(r"[\w./-]+:v?\d+\.\d+\.\d+")


def load(path: str) -> Any:
    """Read a YAML file of dashboards/dev."""
    return yaml.safe_load((DEV / path).read_text())


@pytest.mark.parametrize("ways", [*((way,) for way in (*WAYS, "to-tempo")), (*WAYS, "to-tempo")])
def test_the_collector_accepts_each_way_and_all_at_once(ways: tuple[str, ...]) -> None:
    """The files' variables have their defaults, as in compose.yaml."""
    files = [COLLECTOR / f"{name}.yaml" for name in ("collector", *ways)]
    succeed("otelcol-gluellm", "validate", *(f"--config={file}" for file in files))


@pytest.mark.parametrize("way", WAYS)
def test_promtool_accepts_the_configuration(way: str, tmp_path: Path) -> None:
    """compose.yaml mounts the targets, the rules and the Alertmanager's address beside it."""
    for target, source in _mounts(services()["prometheus"], way).items():
        (tmp_path / Path(target).relative_to("/etc/prometheus")).symlink_to(source.resolve())
    output = succeed("promtool", "check", "config", tmp_path / "prometheus.yaml")
    assert output.count(" rules found") == 2, output
    assert "alertmanager config does not exist" not in output, output


def test_prometheus_finds_the_rules_in_a_checkout() -> None:
    """docs/deploy.md starts it there."""
    output = succeed("promtool", "check", "config", DEV / "prometheus/prometheus.yaml")
    assert output.count(" rules found") == 2, output


def test_alertmanager_accepts_its_configuration() -> None:
    """This is the file that compose.yaml mounts."""
    succeed("amtool", "check-config", DEV / "alertmanager/alertmanager.yaml")


def test_the_same_resource_attributes_become_labels_in_every_store() -> None:
    """Boards use these labels, whatever the ingestion path."""
    exporter = load("collector/to-scrape.yaml")["exporters"]["prometheus"]
    prometheus = load("prometheus/prometheus.yaml")["otlp"]["promote_resource_attributes"]
    (victoria_metrics,) = [
        flag.partition("=")[2].split(",")
        for flag in services()["victoria-metrics"]["command"]
        if flag.startswith("--opentelemetry.promoteResourceAttributes=")
    ]
    assert exporter["resource_constant_labels"]["included"] == prometheus == victoria_metrics


def test_images_are_pinned_to_the_versions_that_the_tests_run() -> None:
    """No image is `latest`, and each has the version that is built for the tests."""
    images = {name: one["image"] for name, one in services().items() if "image" in one}
    assert all(_PINNED.fullmatch(image) for image in images.values()), images
    built = {program.name: program.version.removeprefix("v") for program in programs()}
    for service, program in (
        ("collector", "otelcol-gluellm"),
        ("prometheus", "prometheus"),
        ("victoria-metrics", "victoria-metrics"),
        ("alertmanager", "alertmanager"),
    ):
        assert images[service].rpartition(":")[2].removeprefix("v") == built[program]


def test_the_collectors_manifest_has_one_version_of_everything() -> None:
    """Its providers are stable, and are numbered separately."""
    version = collector_version(MANIFEST)
    text = MANIFEST.read_text()
    components = re.findall(r"gomod: \S+/(\w+) v(\S+)$", text, re.MULTILINE)
    assert len(components) == 14
    for component, found in components:
        stable = component.endswith("provider")
        assert found == (f"1.{int(version.split('.')[1]) - 94}.0" if stable else version)
    assert f"builder@v{version}" in text


@pytest.mark.parametrize("way", WAYS)
def test_mounted_files_exist_and_files_of_flags_are_mounted(way: str) -> None:
    """All mounted files, folders and volumes exist. They contain each file that a flag names."""
    declared = load("compose.yaml")["volumes"]
    for name, service in services().items():
        for volume in service.get("volumes", ()):
            source = compose.interpolate(volume, METRICS_WAY=way).partition(":")[0]
            assert (DEV / source).exists() if source.startswith(".") else source in declared, volume
        mounts = _mounts(service, way)
        for flag in service.get("command", ()):
            path = compose.interpolate(flag, METRICS_WAY=way).partition("=")[2]
            assert not path.startswith("/etc/") or any(
                (source / Path(path).relative_to(target)).exists()
                for target, source in mounts.items()
                if Path(path).is_relative_to(target)
            ), f"{name}: {flag}"


def test_addresses_are_those_of_listening_services() -> None:
    """Each address in the files has a service's name and a port on which it listens."""
    listening = {
        "collector": _ports(*_defaults("collector.yaml"), *_defaults("to-scrape.yaml")),
        "prometheus": _ports(*services()["prometheus"]["command"]),
        "victoria-metrics": _ports(*services()["victoria-metrics"]["command"]),
        "alertmanager": _ports(*services()["alertmanager"]["command"]),
        "tempo": {
            load("tempo/tempo.yaml")["server"]["http_listen_port"],
            *_ports(str(load("tempo/tempo.yaml")["distributor"])),
        },
    }
    called = [
        services()["load"]["environment"]["OTEL_EXPORTER_OTLP_ENDPOINT"],
        *(source["url"] for source in _data_sources()),
        *(
            f"//{target}"
            for file in ("targets/to-scrape/collector.yaml", "alertmanagers.yaml")
            for target in load(f"prometheus/{file}")[0]["targets"]
        ),
        *(
            address if "//" in address else f"//{address}"
            for way in ("to-prometheus", "to-victoria-metrics", "to-tempo")
            for address in _defaults(f"{way}.yaml")
        ),
    ]
    assert len(called) == 9
    for url in called:
        parts = urlsplit(url)
        assert parts.port in listening[str(parts.hostname)], url


def test_ports_are_published_on_loopback_only() -> None:
    """None of the services asks for a password."""
    published = [port for service in services().values() for port in service.get("ports", ())]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_grafana_finds_what_its_provisioning_names() -> None:
    """Data sources that others refer to exist, and the folder of boards is mounted."""
    sources = _data_sources()
    uids = {source["uid"] for source in sources}
    assert len(uids) == len(sources)
    named = set(re.findall(r"'datasourceUid': '(\w+)'", str(sources)))
    assert named == {"tempo", "prometheus"}
    assert named <= uids
    mounts = _mounts(services()["grafana"], WAYS[0])
    (providers,) = _provisioning("dashboards")
    for provider in providers["providers"]:
        boards = mounts[provider["options"]["path"]]
        assert len(list(boards.glob("*.json"))) == 4


def _provisioning(kind: str) -> list[Any]:
    """Read the files that Grafana finds in this folder of /etc/grafana/provisioning."""
    folder = Path("/etc/grafana/provisioning") / kind
    found = []
    for target, source in _mounts(services()["grafana"], WAYS[0]).items():
        if Path(target) == folder:
            found += sorted(source.glob("*.yaml"))
        elif Path(target).parent == folder:
            found.append(source)
    assert found, kind
    return [yaml.safe_load(file.read_text()) for file in found]


def _data_sources() -> list[dict[str, Any]]:
    return [source for file in _provisioning("datasources") for source in file["datasources"]]


def _defaults(name: str) -> list[str]:
    return _DEFAULT.findall((COLLECTOR / name).read_text())


def _ports(*texts: str) -> set[int]:
    return {int(port) for text in texts for port in re.findall(r"0\.0\.0\.0:(\d+)", text)}


def _mounts(service: dict[str, Any], way: str) -> dict[str, Path]:
    found = {}
    for volume in service.get("volumes", ()):
        source, target, *_ = compose.interpolate(volume, METRICS_WAY=way).split(":")
        if source.startswith("."):
            found[target] = DEV / source
    return found
