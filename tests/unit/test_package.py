"""What the installed distribution says about itself to pip and to OpenTelemetry's loader."""

from __future__ import annotations

import re
from importlib.metadata import distribution, entry_points
from pathlib import Path

import pytest
from opentelemetry.instrumentation.dependencies import get_dist_dependency_conflicts
from packaging.requirements import Requirement

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor, package

NAME = "opentelemetry-instrumentation-gluellm"


def requirements(extra: str) -> set[tuple[str, str]]:
    """Names and versions that an extra of the distribution asks for."""
    found = [Requirement(text) for text in distribution(NAME).requires or []]
    return {
        (requirement.name, str(requirement.specifier))
        for requirement in found
        if requirement.marker and re.search(rf"extra == ['\"]{extra}['\"]", str(requirement.marker))
    }


def test_loader_finds_the_instrumentor_under_its_name() -> None:
    """``OTEL_PYTHON_DISABLED_INSTRUMENTATIONS=gluellm`` goes by this name."""
    (entry_point,) = entry_points(group="opentelemetry_instrumentor", name="gluellm")
    assert entry_point.load() is GlueLLMInstrumentor


def test_any_of_list_is_the_same_for_pip_and_in_code() -> None:
    """The loader reads the extra, other tools read package.py."""
    in_code = {
        (requirement.name, str(requirement.specifier))
        for requirement in map(Requirement, package._instruments_any)
    }
    assert requirements("instruments-any") == in_code


def test_package_is_typed_and_leaves_its_namespace_open() -> None:
    """PEP 561. An ``__init__.py`` above would hide every other OpenTelemetry package."""
    home = Path(package.__file__).parent
    assert (home / "py.typed").exists()
    assert not any((folder / "__init__.py").exists() for folder in list(home.parents)[:2])


def test_one_library_of_the_list_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loader's check passes with httpx2 alone, and fails only where all are missing."""
    from opentelemetry.instrumentation import dependencies

    assert get_dist_dependency_conflicts(distribution(NAME)) is None
    original = dependencies.version
    present = {"httpx2"}

    def only_present(name: str) -> str:
        if name in present:
            return original(name)
        raise dependencies.PackageNotFoundError(name)

    monkeypatch.setattr(dependencies, "version", only_present)
    assert get_dist_dependency_conflicts(distribution(NAME)) is None
    present.clear()
    assert get_dist_dependency_conflicts(distribution(NAME)) is not None
