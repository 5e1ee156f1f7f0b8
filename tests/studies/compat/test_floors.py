"""The matrix runs each dependency at the lowest version that the project allows."""

import importlib
from pathlib import Path

import pytest

DIFFERS = {"grpcio": "1.72.1", "urllib3": "1.26.0"}
"""Versions to test where the lowest one can't be installed with the others."""


def test_each_lowest_version_is_in_an_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    environments = importlib.import_module("environments")
    pinned = {
        requirement.partition(";")[0].strip()
        for environment in environments.ENVIRONMENTS.values()
        for requirement in (*environment.requirements, *environment.constraints)
    }
    allowed = environments.floors("instruments-any", "cli", "demo", "http")
    assert len(allowed) > 15
    for name, version in allowed.items():
        assert f"{name}=={DIFFERS.get(name, version)}" in pinned
