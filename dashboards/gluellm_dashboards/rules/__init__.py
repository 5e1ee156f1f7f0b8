"""The rules, as files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import yaml

from . import alerts, recording

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
