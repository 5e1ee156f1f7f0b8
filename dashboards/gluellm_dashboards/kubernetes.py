"""Manifests for Kubernetes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from . import boards, config, rules, yaml_text

FOLDERS: Final[tuple[str, ...]] = ("kubernetes",)
"""Paths that contain generated files only."""
NAME: Final = "gluellm-pools"
"""Name of the PrometheusRule."""


def files() -> Mapping[str, str]:
    """Return the texts, by their paths below ``dashboards/``."""
    documents = [board.document() for board in boards.boards()]
    config_maps = {f"{board['uid']}.yaml": config_map(board) for board in documents}
    resources = [*config_maps, "prometheus-rule.yaml"]
    return {
        "kubernetes/kustomization.yaml": _written(kustomization(resources)),
        **{f"kubernetes/{name}": _written(content) for name, content in config_maps.items()},
        "kubernetes/prometheus-rule.yaml": _written(prometheus_rule()),
    }


def kustomization(resources: Iterable[str]) -> dict[str, Any]:
    """Return the input of ``kubectl apply -k``, without a namespace."""
    return {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": list(resources),
    }


def config_map(board: Mapping[str, Any]) -> dict[str, Any]:
    """Return a board for Grafana's sidecar, which looks for the label."""
    # Without line breaks: kubectl writes all of it into an annotation, which has a limit.
    text = json.dumps(board, sort_keys=True, separators=(",", ":"))
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": board["uid"],
            "labels": {"grafana_dashboard": "1"},
            "annotations": {"grafana_folder": config.FOLDER},
        },
        "data": {f"{board['uid']}.json": text},
    }


def prometheus_rule() -> dict[str, Any]:
    """Return the rules for the Prometheus operator, which selects them by label."""
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": NAME},
        "spec": {"groups": rules.groups()},
    }


def _written(content: object) -> str:
    return yaml_text.written(content, "gluellm_dashboards/kubernetes.py")
