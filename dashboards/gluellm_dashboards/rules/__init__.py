"""The rule files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from .. import yaml_text
from . import alerts, recording
from .case import document
from .cases import CASES, recorded

FOLDERS: Final[tuple[str, ...]] = ("prometheus",)
"""Paths that contain generated files only."""


def groups() -> list[Mapping[str, Any]]:
    """Return all rule groups as plain data, for other formats."""
    return [recording.group(), alerts.group()]


def files() -> Mapping[str, str]:
    """Return the texts, by their paths below ``dashboards/``."""
    return {
        "prometheus/recording.yaml": text({"groups": [recording.group()]}),
        "prometheus/alerts.yaml": text({"groups": [alerts.group()]}),
        "prometheus/tests/recording.yaml": text(recorded.document()),
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


def text(content: object) -> str:
    """Return the text of a generated YAML file."""
    return yaml_text.written(content, "gluellm_dashboards/rules")
