"""The rules, as files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import yaml

from . import alerts, recording
from .case import document
from .cases import CASES

FOLDERS: Final[tuple[str, ...]] = ("prometheus",)
"""Where nothing but generated files lies."""
_HEAD: Final = "# Written by `make dashboards` from gluellm_dashboards/rules; never edit it here.\n"


def groups() -> list[Mapping[str, Any]]:
    """All rule groups, as plain data: for whatever else wraps them."""
    return [recording.group(), alerts.group()]


def files() -> Mapping[str, str]:
    """Their texts, by their paths below ``dashboards/``."""
    return {
        "prometheus/recording.yaml": text({"groups": [recording.group()]}),
        "prometheus/alerts.yaml": text({"groups": [alerts.group()]}),
        **_tests(),
    }


def _tests() -> dict[str, str]:
    names = dict.fromkeys(case.alert for case in CASES)
    return {
        f"prometheus/tests/{name}.yaml": text(
            document([case for case in CASES if case.alert == name])
        )
        for name in names
    }


class _Dumper(yaml.SafeDumper):
    """Long lines stay whole, and texts of several lines are written as such."""


def _string(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    style = "|" if "\n" in value else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _string)


def text(content: object) -> str:
    """A generated YAML file."""
    return _HEAD + yaml.dump(content, Dumper=_Dumper, sort_keys=False, width=10_000)
