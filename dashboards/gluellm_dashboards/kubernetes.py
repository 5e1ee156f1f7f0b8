"""What is applied to Kubernetes, and what is made of the same for other tools, as files."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from . import boards, config, rules, yaml_text

FOLDERS: Final[tuple[str, ...]] = ("kubernetes", "mimir", "mixin.libsonnet")
"""Where nothing but generated files lies."""
NAME: Final = "gluellm-pools"
"""Of the PrometheusRule and of the namespace of rules."""
_MOST_RULES: Final = 20
"""Mimir's default limit for the rules of one group."""
_SOURCE: Final = "gluellm_dashboards/kubernetes.py"


def files() -> Mapping[str, str]:
    """Their texts, by their paths below ``dashboards/``."""
    documents = [board.document() for board in boards.boards()]
    config_maps = {f"{board['uid']}.yaml": config_map(board) for board in documents}
    resources = [*config_maps, "prometheus-rule.yaml"]
    return {
        "kubernetes/kustomization.yaml": _written(kustomization(resources)),
        **{f"kubernetes/{name}": _written(content) for name, content in config_maps.items()},
        "kubernetes/prometheus-rule.yaml": _written(prometheus_rule()),
        "mimir/rules.yaml": _written(mimir_rules()),
        "mixin.libsonnet": mixin([board["uid"] for board in documents]),
    }


def kustomization(resources: Iterable[str]) -> dict[str, Any]:
    """What ``kubectl apply -k`` reads; a namespace is left to whoever builds on it."""
    return {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": list(resources),
    }


def config_map(board: Mapping[str, Any]) -> dict[str, Any]:
    """A board for Grafana's sidecar, which looks for the label."""
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
    """The rules for the Prometheus operator, which looks for the labels that it was told."""
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": NAME},
        "spec": {"groups": rules.groups()},
    }


def mimir_rules() -> dict[str, Any]:
    """The rules for ``mimirtool rules load``, in groups that Mimir takes."""
    groups = [part for group in rules.groups() for part in _parts(group)]
    return {"namespace": NAME, "groups": groups}


def _parts(group: Mapping[str, Any]) -> list[dict[str, Any]]:
    found = group["rules"]
    if len(found) <= _MOST_RULES:
        return [dict(group)]
    starts = range(0, len(found), _MOST_RULES)
    return [
        {**group, "name": f"{group['name']}-{number}", "rules": found[start : start + _MOST_RULES]}
        for number, start in enumerate(starts, 1)
    ]


def mixin(uids: Iterable[str]) -> str:
    """Boards and rules as monitoring mixins have them."""
    imports = "\n".join(f"    '{uid}.json': import 'grafana/{uid}.json'," for uid in uids)
    return (
        f"// Written by `make dashboards` from {_SOURCE}; never edit it here.\n"
        "{\n"
        f"  grafanaDashboardFolder: '{config.FOLDER}',\n"
        "  grafanaDashboards+:: {\n"
        f"{imports}\n"
        "  },\n"
        f"  prometheusRules+:: {_groups('recording')},\n"
        f"  prometheusAlerts+:: {_groups('alerts')},\n"
        "}\n"
    )


def _groups(name: str) -> str:
    # Added to, so that a mixin keeps its rules where several are put together.
    return f"{{ groups+: std.parseYaml(importstr 'prometheus/{name}.yaml').groups }}"


def _written(content: object) -> str:
    return yaml_text.written(content, _SOURCE)
