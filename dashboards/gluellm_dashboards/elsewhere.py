"""Boards and rules in other forms: Grafana's import by hand, Mimir, mixins."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from . import boards, config, rules, yaml_text
from .boards.importing import importable

# Not below `grafana`: Grafana would provision these as well, beside the boards of the same uid.
FOLDERS: Final[tuple[str, ...]] = ("import", "mimir", "mixin.libsonnet")
"""Paths that contain generated files only."""
NAMESPACE: Final = "gluellm-pools"
"""Namespace of the rules."""
_MOST_RULES: Final = 20
"""Mimir's default limit for the rules of one group."""
_SOURCE: Final = "gluellm_dashboards/elsewhere.py"


def files() -> Mapping[str, str]:
    """Return the texts, by their paths below ``dashboards/``."""
    documents = {board.uid: board.document() for board in boards.boards()}
    return {
        **{
            f"import/{uid}.json": json.dumps(importable(board), indent=2) + "\n"
            for uid, board in documents.items()
        },
        "mimir/rules.yaml": yaml_text.written(mimir_rules(), _SOURCE),
        "mixin.libsonnet": mixin(documents),
    }


def mimir_rules() -> dict[str, Any]:
    """Return the rules for ``mimirtool rules load``, in groups of a size that Mimir accepts."""
    groups = [part for group in rules.groups() for part in _parts(group)]
    return {"namespace": NAMESPACE, "groups": groups}


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
    """Return boards and rules in the form of monitoring mixins."""
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
