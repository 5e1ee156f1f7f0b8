"""Which programs, in which versions, built how. The one place to change for an upgrade.

The Collector's version stands in its manifest, dashboards/dev/collector/builder.yaml.
"""

from __future__ import annotations

import re
from pathlib import Path

from . import ToolsError
from .kinds import ModuleFile, Packages, Program, Tool

MANIFEST = Path(__file__).parents[3] / "dashboards" / "dev" / "collector" / "builder.yaml"
SCHEMA = Path(__file__).parent / "grafana-schema" / "package.json"


def collector_version(manifest: Path) -> str:
    """The version under ``dist``, which is that of the builder as well."""
    found = re.search(r"^  version: ([\d.]+)$", manifest.read_text(), re.MULTILINE)
    if found is None:
        raise ToolsError(f"{manifest} has no line `version: ...` under `dist:`.")
    return found[1]


def programs() -> tuple[Program, ...]:
    """All programs, in the order in which they are built."""
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
    says = f"-ldflags=-s -w -X {victoria_module}/lib/buildinfo.Version="
    # The modules of 0.32 and later lack the built pages that the program embeds: no `go install`.
    alertmanager = "0.31.1"
    alertmanager_module = "github.com/prometheus/alertmanager"
    alertmanager_flags = (
        f"-ldflags=-s -w -X github.com/prometheus/common/version.Version={alertmanager}",
    )
    kustomize = "v5.8.2"  # 5.8.3 asks for Go 1.27
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
            flags=(f"{says}victoria-metrics-{victoria}",),
        ),
        Program(
            name="vmalert",
            version=victoria,
            package=f"{victoria_module}/app/vmalert@{victoria}",
            go=(1, 26, 6),
            seconds=20,
            megabytes=80,
            flags=(f"{says}vmalert-{victoria}",),
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
        Program(
            name="kustomize",
            version=kustomize,
            package=f"sigs.k8s.io/kustomize/kustomize/v5@{kustomize}",
            go=(1, 26, 0),
            seconds=30,
            megabytes=300,
            flags=(f"-ldflags=-s -w -X sigs.k8s.io/kustomize/api/provenance.version={kustomize}",),
            asked="version",
        ),
    )


def tools() -> tuple[Tool, ...]:
    """The programs, and what the files of ``dashboards`` are checked against."""
    return (
        *programs(),
        ModuleFile(
            name="prometheusrules.yaml",
            version="v0.85.0",
            module="github.com/prometheus-operator/prometheus-operator",
            path="example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml",
            go=(1, 24, 0),
            seconds=5,
            megabytes=30,
        ),
        Packages(
            name="grafana-schema",
            version="13.2.3",
            manifest=SCHEMA,
            seconds=5,
            megabytes=30,
        ),
    )
