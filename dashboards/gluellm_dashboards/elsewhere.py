"""The same boards and rules as others want them: Grafana's import by hand, Mimir, mixins."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from . import boards, config, rules, yaml_text
from .boards.importing import importable

# Not below `grafana`: Grafana would provision these as well, beside the boards of the same uid.
FOLDERS: Final[tuple[str, ...]] = ("import", "mimir", "mixin.libsonnet")
"""Where nothing but generated files lies."""
NAMESPACE: Final = "gluellm-pools"
"""Of the rules, where rules have one."""
_MOST_RULES: Final = 20
"""Mimir's default limit for the rules of one group."""
_SOURCE: Final = "gluellm_dashboards/elsewhere.py"


def files() -> Mapping[str, str]:
    """Their texts, by their paths below ``dashboards/``."""
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
    """The rules for ``mimirtool rules load``, in groups that Mimir takes."""
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
