"""``make e2e-tools``, with a ``go`` and an ``npm`` that are shell scripts: what is made of it."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from e2e.tools import ToolsError
from e2e.tools.cache import Cache, cache_folder
from e2e.tools.go import Go, writable
from e2e.tools.kinds import Packages, Program, digest
from e2e.tools.pinned import MANIFEST, collector_version, tools

TESTS = Path(__file__).parents[1]
PINNED = {tool.name: tool for tool in tools()}

# Says for --version what the real ones say; installs such programs where GOBIN points.
FAKE_GO = r"""#!/bin/sh
PATH=/usr/bin:/bin
if [ "$1" = env ]; then
  cat <<END
{"GOVERSION": "${FAKE_VERSION:-go1.99.0}", "GOTOOLCHAIN": "${FAKE_TOOLCHAIN:-local}",
 "GOFLAGS": "$GOFLAGS", "GOPATH": "${GOPATH:-${HOME:+$HOME/go}}",
 "GOMODCACHE": "${GOPATH:-$HOME/go}/pkg/mod", "GOCACHE": "${GOCACHE:-${HOME:+$HOME/compiled}}"}
END
  exit
fi
if [ "$1" = list ]; then
  for module; do :; done
  echo "$HOME/modules/${module%@*}"
  exit
fi
for package; do :; done
path=${package%@*}
name=$(basename "${path%/v5}")  # a major version is no name
echo "$name $GOPATH $GOCACHE $GOFLAGS" >>"$FAKE_CALLS"
if [ "$name" = "$FAKE_BROKEN" ]; then
  echo "go: $package: not found" >&2
  echo "${FAKE_SAID:-giving up}" >&2
  exit 7
fi
if [ "$name" = "$FAKE_ENDLESS" ]; then
  touch "$GOBIN/begun"
  tries=0  # it ends with the folder it works in, should nobody end it
  while [ -d "$GOBIN" ] && [ $((tries += 1)) -lt 600 ]; do sleep 0.1; done
  exit 1
fi
if [ "$1" = mod ]; then
  folder="$HOME/modules/${package%@*}/example/prometheus-operator-crd"
  mkdir -p "$folder"
  echo "kind: CustomResourceDefinition" >"$folder/monitoring.coreos.com_prometheusrules.yaml"
  exit
fi
if [ "$name" = builder ]; then
  cat >"$GOBIN/builder" <<'END'
#!/bin/sh
PATH=/usr/bin:/bin
mkdir build
printf '#!/bin/sh\necho otelcol-gluellm version 0.161.0\n' >build/otelcol-gluellm
chmod +x build/otelcol-gluellm
END
else
  versions='3.16.0 v1.151.0 0.31.1 v5.8.2'
  printf '#!/bin/sh\necho %s version %s %s\n' "$name" "$versions" "$FAKE_MARK" >"$GOBIN/$name"
fi
chmod +x "$GOBIN"/*
"""

# Lays out what package.json asks for, under the names that it has there.
FAKE_NPM = r"""#!/bin/sh
PATH=/usr/bin:/bin
echo "npm $*" >>"$FAKE_CALLS"
cd "$3" || exit 1
sed -n 's/npm:.*@//; s/^    "\([^"]*\)": "\([0-9.]*\)",*$/\1 \2/p' package.json |
while read -r name version; do
  mkdir -p "node_modules/$name"
  echo "{\"version\": \"${FAKE_PACKAGE:-$version}\"}" >"node_modules/$name/package.json"
done
"""


@dataclass
class Machine:
    """A machine with a home, and a folder that is its PATH."""

    home: Path
    path: Path
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def cache(self) -> Cache:
        """Where the programs are to go."""
        return Cache(self.home / ".cache" / "gluellm-e2e-tools")

    @property
    def builds(self) -> list[str]:
        """What ``go install`` was called for, in order."""
        calls = self.home / "calls"
        return (
            [line.split()[0] for line in calls.read_text().splitlines()] if calls.exists() else []
        )

    def command(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        """Start it as ``make e2e-tools`` does."""
        everything = {
            "HOME": str(self.home),
            "PATH": str(self.path),
            "PYTHONPATH": str(TESTS),
            "FAKE_CALLS": str(self.home / "calls"),
            **environment,
        }
        return subprocess.Popen(
            [sys.executable, "-m", "e2e.tools", *arguments],
            env={name: value for name, value in everything.items() if value},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str, **environment: str) -> tuple[int, str, str]:
        """Run it to its end: status, output, errors."""
        process = self.command(*arguments, **environment)
        output, errors = process.communicate(timeout=60)
        return process.returncode, output, errors


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A machine with the shell scripts as its ``go`` and its ``npm``."""
    (home := tmp_path / "home").mkdir()
    (path := tmp_path / "path").mkdir()
    (go := path / "go").write_text(FAKE_GO)
    go.chmod(0o755)
    (npm := path / "npm").write_text(FAKE_NPM)
    npm.chmod(0o755)
    (path / "sh").symlink_to("/bin/sh")
    for command in ("cp", "mkdir"):
        (path / command).symlink_to(f"/bin/{command}")
    return Machine(home, path)


def test_all_programs_are_built_and_the_second_run_builds_nothing(machine: Machine) -> None:
    """What is there in its pinned version is kept."""
    status, output, errors = machine.run()
    assert (status, errors) == (0, "")
    assert machine.builds == [
        "prometheus",
        "promtool",
        "builder",
        "victoria-metrics",
        "vmalert",
        "alertmanager",
        "amtool",
        "kustomize",
        "prometheus-operator",
        "npm",
    ]
    assert {machine.cache.state(tool) for tool in tools()} == {"there"}
    assert sorted(path.name for path in machine.cache.folder.iterdir()) == [
        "bin",
        "files",
        "lock",
        "logs",
        "packages",
        "stamps",
    ]
    status, output, _ = machine.run()
    assert status == 0
    assert output.startswith("All there")
    assert len(machine.builds) == 10


def test_it_says_what_it_will_do_before_it_looks_for_go(machine: Machine) -> None:
    """Program, version, command, folder, needs, time and disk are said; then go is missed."""
    (machine.path / "go").unlink()
    status, output, errors = machine.run()
    assert status == 1
    for tool in tools():
        assert f"{tool.name} {tool.version}, now missing" in output
        assert not isinstance(tool, Program) or tool.package in output
    assert "builder --config" in output
    assert str(machine.cache.folder) in output
    assert re.search(r"about \d+ min on 2 cores and \d+\.\d GB", output)
    assert "Needs Go 1.26.7 or newer and npm" in output
    assert "no go on PATH" in errors
    assert "Install Go 1.26.7 or newer; then: make e2e-tools" in errors


def test_go_is_not_needed_when_all_is_there(machine: Machine) -> None:
    """A cache that was brought from elsewhere is enough."""
    machine.run()
    (machine.path / "go").unlink()
    assert machine.run()[0] == 0


def test_a_failing_build_leaves_the_old_program_and_the_others_are_tried(machine: Machine) -> None:
    """The module of one is not served: the command and its last lines are shown."""
    machine.run(FAKE_MARK="old")
    machine.cache.stamp(PINNED["promtool"]).write_text('{"package": "older"}')
    machine.cache.path(PINNED["victoria-metrics"]).unlink()
    status, output, errors = machine.run(FAKE_MARK="new", FAKE_BROKEN="promtool")
    assert status == 1
    assert "promtool 3.16.0, now other" in output
    assert "promtool 3.16.0 could not be built. The command ended with status 7:" in errors
    assert "go install -trimpath" in errors
    assert "promtool@v0.316.0: not found" in errors
    assert "giving up" in errors
    assert str(machine.cache.log(PINNED["promtool"])) in errors
    assert "Not there as pinned: promtool" in errors
    assert "old" in machine.cache.path(PINNED["promtool"]).read_text()
    assert machine.cache.state(PINNED["promtool"]) == "other"
    assert machine.cache.state(PINNED["victoria-metrics"]) == "there"
    assert not list(machine.cache.folder.glob("build-*"))


def test_a_program_of_another_pin_is_built_again(machine: Machine) -> None:
    """A new version, other flags or another manifest change what the stamp has to say."""
    machine.run(FAKE_MARK="old")
    stamp = machine.cache.stamp(PINNED["otelcol-gluellm"])
    stamp.write_text(json.dumps(json.loads(stamp.read_text()) | {"manifest": "another"}))
    assert machine.run(FAKE_MARK="new")[0] == 0
    assert machine.builds[10:] == ["builder"]


def test_a_damaged_stamp_means_another_build(machine: Machine) -> None:
    """Nobody knows then what the program is."""
    machine.run("--only", "promtool")
    machine.cache.stamp(PINNED["promtool"]).write_text("{")
    assert machine.run("--only", "promtool")[0] == 0
    assert machine.builds == ["promtool", "promtool"]


def test_no_stamp_is_left_of_a_program_that_could_not_be_put_in_place(tmp_path: Path) -> None:
    """The stamp is taken away first and comes back last. Here a folder is in the program's way."""
    program, cache = PINNED["promtool"], Cache(tmp_path / "cache")
    cache.folder.mkdir()
    (built := tmp_path / "built").touch()
    cache.install(program, built)
    assert cache.stamp(program).exists()
    cache.path(program).unlink()
    cache.path(program).mkdir()
    built.touch()
    with pytest.raises(IsADirectoryError):
        cache.install(program, built)
    assert not cache.stamp(program).exists()


def test_a_program_that_says_another_version_is_not_put_in_place(machine: Machine) -> None:
    """What was built has to be what was pinned."""
    go = machine.path / "go"
    go.write_text(go.read_text().replace("3.16.0", "3.15.0"))
    status, _, errors = machine.run("--only", "prometheus")
    assert status == 1
    assert "prometheus 3.16.0 was built, and says of its version:" in errors
    assert "3.15.0" in errors
    assert machine.cache.state(PINNED["prometheus"]) == "missing"


def test_packages_are_installed_without_their_scripts_and_a_new_set_replaces_the_old(
    machine: Machine,
) -> None:
    """As package.json names them; what is there of another set goes."""
    packages = PINNED["grafana-schema"]
    assert isinstance(packages, Packages)
    assert list(packages.pinned.values()) == ["12.4.10", "13.2.3", "5.9.3"]
    assert machine.run("--only", "grafana-schema")[0] == 0
    (call,) = (machine.home / "calls").read_text().splitlines()
    assert "--ignore-scripts" in call.split()
    folder = machine.cache.path(packages) / "node_modules"
    assert sorted(path.name for path in folder.iterdir()) == ["@grafana", "typescript"]
    (folder / "old").mkdir()
    machine.cache.stamp(packages).write_text('{"manifest": "another"}')
    assert machine.run("--only", "grafana-schema")[0] == 0
    assert sorted(path.name for path in folder.iterdir()) == ["@grafana", "typescript"]


def test_packages_of_another_version_are_not_put_in_place(machine: Machine) -> None:
    """A registry may give what nobody asked for."""
    status, _, errors = machine.run("--only", "grafana-schema", FAKE_PACKAGE="1.0.0")
    assert status == 1
    assert "npm installed @grafana/schema-12 1.0.0 instead of 12.4.10" in errors
    assert machine.cache.state(PINNED["grafana-schema"]) == "missing"


def test_a_missing_npm_is_named_and_go_is_not_asked_for(machine: Machine) -> None:
    """Packages need no Go, and programs no npm."""
    (machine.path / "go").unlink()
    (machine.path / "npm").unlink()
    status, output, errors = machine.run("--only", "grafana-schema")
    assert status == 1
    assert "Needs npm. Nothing else" in output
    assert "grafana-schema 13.2.3 needs npm, and there is none on PATH" in errors


def test_a_file_of_a_module_is_put_in_place(machine: Machine) -> None:
    """Under a name of its own."""
    assert machine.run("--only", "prometheusrules.yaml")[0] == 0
    file = machine.cache.path(PINNED["prometheusrules.yaml"])
    assert file.read_text() == "kind: CustomResourceDefinition\n"


def test_a_full_disk_gets_a_cure(machine: Machine) -> None:
    """Go says it somewhere in its output."""
    _, _, errors = machine.run(
        "--only",
        "prometheus",
        FAKE_BROKEN="prometheus",
        FAKE_SAID="write /x: no space left on device",
    )
    assert "The disk is full. `go clean -cache` removes" in errors


@pytest.mark.parametrize(
    ("version", "toolchain", "status"),
    [("go1.25.9", "local", 1), ("go1.25.9", "auto", 0), ("go1.26.7", "local", 0)],
)
def test_a_go_that_is_too_old_is_named(
    machine: Machine, version: str, toolchain: str, status: int
) -> None:
    """Unless it fetches a newer one itself, which GOTOOLCHAIN decides."""
    found, _, errors = machine.run(
        "--only", "prometheus", FAKE_VERSION=version, FAKE_TOOLCHAIN=toolchain
    )
    assert found == status
    assert ("prometheus 3.16.0 needs Go 1.26.7; this is go1.25.9" in errors) == (status == 1)


def test_versions_between_releases_are_new_enough() -> None:
    """A Go that was built from its sources."""
    go = Go("devel go1.27-abc", "local", Path("/m"), Path("/c"), {})
    assert not go.too_old_for(PINNED["prometheus"])


def test_without_home_the_cache_has_to_be_named(machine: Machine, tmp_path: Path) -> None:
    """And then Go's own caches are in there too, where they can be removed."""
    status, _, errors = machine.run(HOME="")
    assert status == 1
    assert "Set HOME, or GLUELLM_E2E_TOOLS to a folder outside the repository" in errors
    named = tmp_path / "named"
    arguments = {"HOME": "", "GLUELLM_E2E_TOOLS": str(named)}
    assert machine.run("--only", "promtool", **arguments)[0] == 0
    assert (named / "bin" / "promtool").exists()
    call = (machine.home / "calls").read_text().split()
    assert call[1:3] == [str(named / "go"), str(named / "go-build")]
    assert "-modcacherw" in call


def test_go_keeps_its_own_caches_where_there_is_a_home(machine: Machine) -> None:
    """An empty home is fine. The user's flags stay, and modules stay read-only as Go makes them."""
    assert machine.run("--only", "promtool", GOFLAGS="-v")[0] == 0
    assert (machine.home / "calls").read_text().split() == ["promtool", "-v", "-buildvcs=false"]


def test_the_cache_is_where_the_environment_says() -> None:
    """In this order; a relative XDG_CACHE_HOME doesn't count, a relative folder is refused."""
    everything = {"GLUELLM_E2E_TOOLS": "/a", "XDG_CACHE_HOME": "/b", "HOME": "/c"}
    assert cache_folder(everything) == Path("/a")
    everything["GLUELLM_E2E_TOOLS"] = ""
    assert cache_folder(everything) == Path("/b/gluellm-e2e-tools")
    everything["XDG_CACHE_HOME"] = "b"
    assert cache_folder(everything) == Path("/c/.cache/gluellm-e2e-tools")
    with pytest.raises(ToolsError, match="absolute"):
        cache_folder({"GLUELLM_E2E_TOOLS": "tools", "HOME": "/c"})


def test_a_cache_that_cannot_be_written_is_named(machine: Machine, tmp_path: Path) -> None:
    """Here a file is in its way."""
    (tmp_path / "file").touch()
    status, _, errors = machine.run(GLUELLM_E2E_TOOLS=str(tmp_path / "file" / "cache"))
    assert status == 1
    assert str(tmp_path / "file") in errors
    assert "Traceback" not in errors
    assert not writable(str(tmp_path / "file" / "cache"))
    assert writable(str(tmp_path / "not" / "yet"))


def wait_for(condition: Callable[[], object]) -> None:
    """Until it is so. The test's own time-out ends a wait in vain."""
    while not condition():
        time.sleep(0.01)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_build_leaves_nothing_half_done(
    machine: Machine, how: signal.Signals
) -> None:
    """What the run began is removed: by itself, or by the next run where it was killed."""
    process = machine.command("--only", "promtool", FAKE_ENDLESS="promtool")
    wait_for(lambda: list(machine.cache.folder.glob("build-*/begun")))
    process.send_signal(how)
    _, errors = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "Traceback" not in errors
    assert machine.cache.state(PINNED["promtool"]) == "missing"
    assert bool(list(machine.cache.folder.glob("build-*"))) == (how == signal.SIGKILL)
    assert machine.run("--only", "promtool")[0] == 0
    assert not list(machine.cache.folder.glob("build-*"))


def test_a_second_run_waits_for_the_first(machine: Machine) -> None:
    """And doesn't build again what the first built."""
    first = machine.command("--only", "promtool", FAKE_ENDLESS="promtool")
    wait_for(lambda: list(machine.cache.folder.glob("build-*/begun")))
    second = machine.command("--only", "promtool")
    assert second.stdout is not None
    wait_for(lambda: "Another run is at work" in second.stdout.readline())
    first.terminate()
    first.communicate(timeout=60)
    output, _ = second.communicate(timeout=60)
    assert second.returncode == 0
    assert "All there" in output
    assert machine.builds == ["promtool", "promtool"]


def test_the_list_changes_nothing(machine: Machine) -> None:
    """What, which version, there or not, where."""
    machine.run("--only", "promtool")
    before = sorted(machine.home.rglob("*"))
    status, output, _ = machine.run("--list")
    assert status == 0
    assert [line.split()[:3] for line in output.splitlines()] == [
        ["prometheus", "3.16.0", "missing"],
        ["promtool", "3.16.0", "there"],
        ["otelcol-gluellm", "0.161.0", "missing"],
        ["victoria-metrics", "v1.151.0", "missing"],
        ["vmalert", "v1.151.0", "missing"],
        ["alertmanager", "0.31.1", "missing"],
        ["amtool", "0.31.1", "missing"],
        ["kustomize", "v5.8.2", "missing"],
        ["prometheusrules.yaml", "v0.85.0", "missing"],
        ["grafana-schema", "13.2.3", "missing"],
    ]
    assert str(machine.cache.path(PINNED["promtool"])) in output
    assert sorted(machine.home.rglob("*")) == before


def test_an_unknown_program_is_refused_with_the_known_ones(machine: Machine) -> None:
    """``--only`` with a wrong name."""
    status, _, errors = machine.run("--only", "grafana")
    assert status == 2
    assert "'grafana'" in errors
    assert "otelcol-gluellm" in errors


def test_the_manifest_has_one_version_of_everything(tmp_path: Path) -> None:
    """The builder's, and its components', of which the stable ones count otherwise."""
    version = collector_version(MANIFEST)
    components = re.findall(r"gomod: \S+/(\w+) v(\S+)$", MANIFEST.read_text(), re.MULTILINE)
    assert len(components) == 14
    for component, found in components:
        stable = component.endswith("provider")
        assert found == (f"1.{int(version.split('.')[1]) - 94}.0" if stable else version)
    assert f"builder@v{version}" in MANIFEST.read_text()
    assert "  output_path: ./build\n" in MANIFEST.read_text()
    (other := tmp_path / "builder.yaml").write_text("dist:\n  name: x\n")
    with pytest.raises(ToolsError, match="has no line `version"):
        collector_version(other)


def test_a_comment_in_the_manifest_is_no_reason_to_build(tmp_path: Path) -> None:
    """Another component is."""
    (other := tmp_path / "builder.yaml").write_text("# A word.\n" + MANIFEST.read_text())
    assert digest(other) == digest(MANIFEST)
    other.write_text(MANIFEST.read_text().replace("batchprocessor", "otherprocessor"))
    assert digest(other) != digest(MANIFEST)


def test_the_images_that_users_start_are_the_versions_that_are_tested() -> None:
    """compose.yaml and the programs are upgraded together."""
    compose = (MANIFEST.parents[1] / "compose.yaml").read_text()
    images = dict(re.findall(r"image: \S+/([\w-]+):v?(\S+)$", compose, re.MULTILINE))
    pinned = {
        "prometheus": "prometheus",
        "opentelemetry-collector-contrib": "otelcol-gluellm",
        "victoria-metrics": "victoria-metrics",
        "alertmanager": "alertmanager",
    }
    for image, name in pinned.items():
        assert images[image] == PINNED[name].version.removeprefix("v")
