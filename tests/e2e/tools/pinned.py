"""The pinned tools, with their versions and build flags. Change them here for an upgrade.

The Collector's version is in its manifest, dashboards/dev/collector/builder.yaml.
"""

import re
from pathlib import Path

from . import ToolsError
from .kinds import ModuleFile, Packages, Program, Tool

GO = "1.26.7"
"""Newest Go version that a go.mod requires."""
COST = "about 10 min on 2 cores and 6.4 GB of disk"
MANIFEST = Path(__file__).parents[3] / "dashboards" / "dev" / "collector" / "builder.yaml"
SCHEMA = Path(__file__).parent / "grafana-schema" / "package.json"


def collector_version(manifest: Path) -> str:
    """Read the version under ``dist``. The builder has the same version."""
    found = re.search(r"^  version: ([\d.]+)$", manifest.read_text(), re.MULTILINE)
    if found is None:
        raise ToolsError(f"{manifest} has no line `version: ...` under `dist:`.")
    return found[1]


def programs() -> tuple[Program, ...]:
    """Return all programs, in the order in which they are built."""
    # Prometheus 3.16.0 is v0.316.0 as a module. The tag excludes service discovery in clouds, most
    # of the program, but not targets in files, which dashboards/dev uses.
    prometheus, module = "3.16.0", "github.com/prometheus/prometheus/cmd/{}@v0.316.0"
    version = "-ldflags=-s -w -X github.com/prometheus/common/version.Version={}"
    prometheus_flags = ("-tags=remove_all_sd", version.format(prometheus))
    collector = collector_version(MANIFEST)
    builder = f"go.opentelemetry.io/collector/cmd/builder@v{collector}"
    # Debian 12 has victoria-metrics 1.79, which has no OTLP endpoint.
    victoria, victoria_module = "v1.151.0", "github.com/VictoriaMetrics/VictoriaMetrics"
    # `go install` fails from 0.32 on: the modules lack the generated pages that the program embeds.
    alertmanager = "0.31.1"
    kustomize = "v5.8.2"  # 5.8.3 requires Go 1.27
    kustomize_flag = f"-X sigs.k8s.io/kustomize/api/provenance.version={kustomize}"

    def of_prometheus(name: str) -> Program:
        return Program(
            name=name, version=prometheus, package=module.format(name), flags=prometheus_flags
        )

    def of_victoria(name: str) -> Program:
        flag = f"-ldflags=-s -w -X {victoria_module}/lib/buildinfo.Version={name}-{victoria}"
        package = f"{victoria_module}/app/{name}@{victoria}"
        return Program(name=name, version=victoria, package=package, flags=(flag,))

    def of_alertmanager(name: str) -> Program:
        package = f"github.com/prometheus/alertmanager/cmd/{name}@v{alertmanager}"
        flags = (version.format(alertmanager),)
        return Program(name=name, version=alertmanager, package=package, flags=flags)

    return (
        of_prometheus("prometheus"),
        of_prometheus("promtool"),
        Program(name="otelcol-gluellm", version=collector, package=builder, manifest=MANIFEST),
        of_victoria("victoria-metrics"),
        of_victoria("vmalert"),
        of_alertmanager("alertmanager"),
        of_alertmanager("amtool"),
        Program(
            name="kustomize",
            version=kustomize,
            package=f"sigs.k8s.io/kustomize/kustomize/v5@{kustomize}",
            flags=(f"-ldflags=-s -w {kustomize_flag}",),
            asked="version",
        ),
    )


def tools() -> tuple[Tool, ...]:
    """Return the programs, and the schemas for the files of ``dashboards``."""
    return (
        *programs(),
        ModuleFile(
            name="prometheusrules.yaml",
            version="v0.85.0",
            module="github.com/prometheus-operator/prometheus-operator",
            path="example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml",
        ),
        Packages(name="grafana-schema", version="13.2.3", manifest=SCHEMA),
    )
