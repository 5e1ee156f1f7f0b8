"""Which programs, in which versions, built how. The one place to change for an upgrade.

The Collector's version stands in its manifest, dashboards/dev/collector/builder.yaml.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from . import ToolsError

MANIFEST = Path(__file__).parents[3] / "dashboards" / "dev" / "collector" / "builder.yaml"


@dataclass(frozen=True, slots=True)
class Program:
    """One program. Time and space were measured one after the other, from empty Go caches."""

    name: str
    version: str
    """What it has to say for ``--version``."""
    package: str
    """What ``go install`` is asked for: a package, with the version of its module."""
    go: tuple[int, int, int]
    """The Go that its go.mod asks for, at least."""
    seconds: int
    """How long the build took on 2 cores."""
    megabytes: int
    """What the build added on disk: the program, Go's modules, and what Go compiled."""
    flags: tuple[str, ...] = ()
    manifest: Path | None = None
    """For the Collector, whose package is that of its builder: what the builder reads."""

    @property
    def identity(self) -> dict[str, object]:
        """What it is built from. While this stays, a built program is kept."""
        manifest = self.manifest and digest(self.manifest)
        return {"package": self.package, "flags": list(self.flags), "manifest": manifest}

    def commands(self, workspace: Path) -> tuple[tuple[str, ...], ...]:
        """How it is built, with the workspace as GOBIN and as the current directory."""
        install = ("go", "install", "-trimpath", *self.flags, self.package)
        if self.manifest is None:
            return (install,)
        return install, (str(workspace / "builder"), "--config", str(self.manifest))

    def built(self, workspace: Path) -> Path:
        """Where the commands leave it; ``build`` is the manifest's output_path."""
        return (workspace / "build" if self.manifest else workspace) / self.name


def digest(manifest: Path) -> str:
    """Of what it says, without comments: these may change without another build."""
    said = re.sub(r"^\s*#.*\n", "", manifest.read_text(), flags=re.MULTILINE)
    return hashlib.sha256(said.encode()).hexdigest()


def collector_version(manifest: Path) -> str:
    """The version under ``dist``, which is that of the builder as well."""
    found = re.search(r"^  version: ([\d.]+)$", manifest.read_text(), re.MULTILINE)
    if found is None:
        raise ToolsError(f"{manifest} has no line `version: ...` under `dist:`.")
    return found[1]


def programs() -> tuple[Program, ...]:
    """All of them, in the order in which they are built."""
    # Prometheus 3.16.0 is v0.316.0 as a module. What is tagged out is service discovery in clouds,
    # most of the program; targets in files, which dashboards/dev uses, stay.
    prometheus, module = "3.16.0", "v0.316.0"
    prometheus_flags = (
        "-tags=remove_all_sd",
        f"-ldflags=-s -w -X github.com/prometheus/common/version.Version={prometheus}",
    )
    collector = collector_version(MANIFEST)
    # Not from Debian 12: its package victoria-metrics is 1.79, which has no OTLP endpoint.
    victoria, victoria_module = "v1.151.0", "github.com/VictoriaMetrics/VictoriaMetrics"
    victoria_says = f"victoria-metrics-{victoria}"
    # The modules of 0.32 and later lack the built pages that the program embeds: no `go install`.
    alertmanager = "0.31.1"
    alertmanager_module = "github.com/prometheus/alertmanager"
    alertmanager_flags = (
        f"-ldflags=-s -w -X github.com/prometheus/common/version.Version={alertmanager}",
    )
    return (
        Program(
            name="prometheus",
            version=prometheus,
            package=f"github.com/prometheus/prometheus/cmd/prometheus@{module}",
            go=(1, 26, 7),
            seconds=170,
            megabytes=1900,
            flags=prometheus_flags,
        ),
        Program(
            name="promtool",
            version=prometheus,
            package=f"github.com/prometheus/prometheus/cmd/promtool@{module}",
            go=(1, 26, 7),
            seconds=70,
            megabytes=500,
            flags=prometheus_flags,
        ),
        Program(
            name="otelcol-gluellm",
            version=collector,
            package=f"go.opentelemetry.io/collector/cmd/builder@v{collector}",
            go=(1, 26, 0),
            seconds=210,
            megabytes=2500,
            manifest=MANIFEST,
        ),
        Program(
            name="victoria-metrics",
            version=victoria,
            package=f"{victoria_module}/app/victoria-metrics@{victoria}",
            go=(1, 26, 6),
            seconds=30,
            megabytes=350,
            flags=(f"-ldflags=-s -w -X {victoria_module}/lib/buildinfo.Version={victoria_says}",),
        ),
        Program(
            name="alertmanager",
            version=alertmanager,
            package=f"{alertmanager_module}/cmd/alertmanager@v{alertmanager}",
            go=(1, 24, 0),
            seconds=60,
            megabytes=700,
            flags=alertmanager_flags,
        ),
        Program(
            name="amtool",
            version=alertmanager,
            package=f"{alertmanager_module}/cmd/amtool@v{alertmanager}",
            go=(1, 24, 0),
            seconds=5,
            megabytes=30,
            flags=alertmanager_flags,
        ),
    )
