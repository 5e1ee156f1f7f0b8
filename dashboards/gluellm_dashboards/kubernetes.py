"""Manifests for Kubernetes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from . import boards, config, rules, yaml_text

FOLDERS: Final[tuple[str, ...]] = ("kubernetes",)
"""Paths that contain generated files only."""
NAME: Final = "gluellm-pools"
"""Name of the PrometheusRule."""


def files() -> Mapping[str, str]:
    """Return the texts, by their paths below ``dashboards/``."""
    documents = [board.document() for board in boards.boards()]
    contents = {f"{board['uid']}.yaml": config_map(board) for board in documents}
    contents["prometheus-rule.yaml"] = prometheus_rule()
    # The input of ``kubectl apply -k``, without a namespace.
    contents["kustomization.yaml"] = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": list(contents),
    }
    source = "gluellm_dashboards/kubernetes.py"
    return {
        f"kubernetes/{name}": yaml_text.written(content, source)
        for name, content in contents.items()
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
