"""Metadata of the distribution for pip and OpenTelemetry's loader, and imports."""

import json
import re
import subprocess
import sys
from importlib.metadata import distribution, entry_points, packages_distributions
from pathlib import Path

import pytest
from opentelemetry.instrumentation.dependencies import get_dist_dependency_conflicts
from packaging.requirements import Requirement

from opentelemetry.instrumentation import gluellm
from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor, package

NAME = "opentelemetry-instrumentation-gluellm"
PACKAGE = gluellm.__name__

LIBRARIES = {"httpx", "httpx2", "httpcore", "httpcore2", "aiohttp", "urllib3", "grpc"}
FOLDERS = {"adapters", "attribution", "limits", "pool", "snapshots", "telemetry", "watch"}

LOADED = """
import json, sys
import opentelemetry.metrics, opentelemetry.trace, wrapt
import opentelemetry.instrumentation.instrumentor
before = set(sys.modules)
from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor
{}
print(json.dumps(sorted(set(sys.modules) - before)))
"""


def requirements(extra: str) -> set[tuple[str, str]]:
    """Names and versions that an extra of the distribution asks for."""
    found = [Requirement(text) for text in distribution(NAME).requires or []]
    return {
        (requirement.name, str(requirement.specifier))
        for requirement in found
        if requirement.marker and re.search(rf"extra == ['\"]{extra}['\"]", str(requirement.marker))
    }


def test_loader_finds_the_instrumentor_under_its_name():
    """``OTEL_PYTHON_DISABLED_INSTRUMENTATIONS=gluellm`` goes by this name."""
    (entry_point,) = entry_points(group="opentelemetry_instrumentor", name="gluellm")
    assert entry_point.load() is GlueLLMInstrumentor


def test_any_of_list_is_the_same_for_pip_and_in_code():
    """The loader reads the extra, other tools read package.py."""
    in_code = {
        (requirement.name, str(requirement.specifier))
        for requirement in map(Requirement, package._instruments_any)
    }
    assert requirements("instruments-any") == in_code


def test_package_is_typed_and_leaves_its_namespace_open():
    """PEP 561. An ``__init__.py`` above would hide every other OpenTelemetry package."""
    home = Path(package.__file__).parent
    assert (home / "py.typed").exists()
    assert not any((folder / "__init__.py").exists() for folder in list(home.parents)[:2])


def test_one_library_of_the_list_is_enough(monkeypatch):
    """The loader's check passes with httpx2 alone, and fails only where all are missing."""
    from opentelemetry.instrumentation import dependencies

    assert get_dist_dependency_conflicts(distribution(NAME)) is None
    original = dependencies.version
    present = {"httpx2"}

    def only_present(name):
        if name in present:
            return original(name)
        raise dependencies.PackageNotFoundError(name)

    monkeypatch.setattr(dependencies, "version", only_present)
    assert get_dist_dependency_conflicts(distribution(NAME)) is None
    present.clear()
    assert get_dist_dependency_conflicts(distribution(NAME)) is not None


def loaded_by(statement: str) -> tuple[set[str], set[str]]:
    """Modules of this package, and top-level names of others, that a fresh interpreter loads.

    Without those that OpenTelemetry and wrapt load: wrapt 2 imports asyncio.
    """
    program = LOADED.format(statement)
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
    names = set(json.loads(done.stdout))
    own = {name for name in names if f"{name}.".startswith(f"{PACKAGE}.")}
    return (
        {name.removeprefix(f"{PACKAGE}.") for name in own},
        {name.partition(".")[0] for name in names - own},
    )


def test_importing_the_instrumentor_loads_little():
    """It loads neither the modules of ``instrument()`` nor an observed library."""
    own, others = loaded_by("")
    assert "instrumentor" in own
    assert not {name.partition(".")[0] for name in own} & (FOLDERS | {"installation", "config"})
    assert not others & (LIBRARIES | {"asyncio"})


def test_instrument_loads_what_it_turns_on():
    """A signal must not be the first to import, so the modules that it needs are loaded before."""
    for_signal = {"snapshots.on_signal.reporter", "snapshots.text", "snapshots.windows"}
    own, others = loaded_by("GlueLLMInstrumentor().instrument()")
    assert "snapshots.collect" in own
    assert not own & (for_signal | {"limits", "http_spans"})
    assert not others & (LIBRARIES | {"gluellm_diagnosis"})
    own, others = loaded_by("GlueLLMInstrumentor().instrument(snapshot_signal='SIGUSR2')")
    assert own >= for_signal
    assert "gluellm_diagnosis" not in others


def test_the_judge_needs_only_the_standard_library():
    """This includes all its modules. Of the library, it loads no module that observes."""
    program = """
import importlib, json, pkgutil, sys
import gluellm_diagnosis
for module in pkgutil.walk_packages(gluellm_diagnosis.__path__, "gluellm_diagnosis."):
    importlib.import_module(module.name)
print(json.dumps([name for name, module in sys.modules.items() if hasattr(module, "__file__")]))
"""
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
    names = json.loads(done.stdout)
    own = {name.removeprefix(f"{PACKAGE}.") for name in names if name.startswith(f"{PACKAGE}.")}
    assert "gluellm_diagnosis.rules.waiting" in names
    assert not {name.partition(".")[0] for name in own} & (FOLDERS - {"snapshots"})
    installed = set(packages_distributions()) - {"opentelemetry", "gluellm_diagnosis"}
    loaded = {name.partition(".")[0] for name in names if not name.startswith("_")}  # of pip
    assert not loaded & installed


def test_public_names_resolve():
    """This includes ``import *`` and ``dir()``. An unknown name raises."""
    star = {}
    exec(f"from {PACKAGE} import *", star)
    assert set(gluellm.__all__) <= star.keys() & set(dir(gluellm))
    assert all(getattr(gluellm, name) is star[name] for name in gluellm.__all__)
    with pytest.raises(AttributeError, match="diagnoses"):
        gluellm.diagnoses  # noqa: B018
