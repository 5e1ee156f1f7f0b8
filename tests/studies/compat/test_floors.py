"""The matrix runs each dependency at the lowest version that the project allows."""

from __future__ import annotations

from environments import ENVIRONMENTS, floors

DIFFERS = {"grpcio": "1.72.1", "urllib3": "1.26.0"}
"""Where the floor itself cannot be installed beside the others."""


def test_each_lowest_version_is_in_an_environment() -> None:
    pinned = {
        requirement.partition(";")[0].strip()
        for environment in ENVIRONMENTS.values()
        for requirement in (*environment.requirements, *environment.constraints)
    }
    allowed = floors("instruments-any", "cli", "demo", "http")
    assert len(allowed) > 15
    for name, version in allowed.items():
        assert f"{name}=={DIFFERS.get(name, version)}" in pinned
