"""The directions of imports, as the architecture has them.

import-linter holds the layers inside the package (its contracts stand in pyproject.toml); what
comes from outside the package is held here, since it depends on the module and not on the package.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PACKAGE = ROOT / "src" / "opentelemetry" / "instrumentation" / "gluellm"
PACKAGE_NAME = "opentelemetry.instrumentation.gluellm"

MODULES = sorted(path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py"))

SIGNAL_APIS = ("opentelemetry.metrics", "opentelemetry.trace", "opentelemetry._logs")
PROVIDERS = ("opentelemetry.metrics.MeterProvider", "opentelemetry.trace.TracerProvider")
WIRING = ("instrumentor.py", "installation.py", "http_spans.py")
OPENTELEMETRY_SDK = "opentelemetry.sdk"


def imported_by(module: Path) -> Iterator[str]:
    """Dotted names that a module imports, relative ones made absolute.

    ``from a import b`` counts as ``a.b``, since b can be a module.
    """
    package = [*PACKAGE_NAME.split("."), *module.parent.parts]
    for node in ast.walk(ast.parse((PACKAGE / module).read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            prefix = ".".join([*base, *([node.module] if node.module else [])])
            yield from (f"{prefix}.{alias.name}" for alias in node.names)


def is_under(name: str, *packages: str) -> bool:
    """Whether a dotted name is one of the packages, or lies in one."""
    return any(name == package or name.startswith(package + ".") for package in packages)


def is_standard_library(name: str) -> bool:
    """Whether a dotted name comes with Python."""
    return name.split(".")[0] in sys.stdlib_module_names


def in_folder(*folders: str) -> list[Path]:
    """The modules of these folders."""
    return [module for module in MODULES if module.parts[0] in folders]


def outside(*folders: str) -> list[Path]:
    """The modules that are in none of these folders."""
    return [module for module in MODULES if module.parts[0] not in folders]


def test_there_are_modules_to_look_at() -> None:
    """A renamed folder must not make the tests below pass by looking at nothing."""
    for folder in ("pool", "adapters", "attribution", "telemetry", "limits", "cli"):
        assert in_folder(folder), folder


def test_layers_inside_the_package() -> None:
    """instrumentor -> adapters, attribution, telemetry -> pool, and nothing sideways."""
    command = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    pytest.importorskip("importlinter")
    run = subprocess.run(
        [sys.executable, "-c", command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.parametrize("module", in_folder("pool"), ids=str)
def test_pool_rests_on_the_standard_library_alone(module: Path) -> None:
    """What happens in a pool is plain Python, tested without any library.

    The thresholds are plain numbers, and import nothing.
    """
    foreign = [
        name
        for name in imported_by(module)
        if not is_standard_library(name)
        and not is_under(name, f"{PACKAGE_NAME}.pool", f"{PACKAGE_NAME}.thresholds")
    ]
    assert not foreign


@pytest.mark.parametrize("module", outside("telemetry", "cli"), ids=str)
def test_only_telemetry_imports_the_signal_apis(module: Path) -> None:
    """One place decides what is sent where; the CLI sets up an SDK of its own.

    The wiring names the providers that it hands on, and nothing else of these.
    """
    allowed = PROVIDERS if module.name in WIRING else ()
    signals = [
        name
        for name in imported_by(module)
        if is_under(name, *SIGNAL_APIS, OPENTELEMETRY_SDK) and name not in allowed
    ]
    assert not signals


@pytest.mark.parametrize("module", in_folder("telemetry"), ids=str)
def test_telemetry_uses_the_api_and_not_the_sdk(module: Path) -> None:
    """The SDK is the application's choice: the package works with the API alone."""
    assert not [name for name in imported_by(module) if is_under(name, OPENTELEMETRY_SDK)]


def test_the_contract_is_data() -> None:
    """Dashboards and docs read the contract module without anything installed."""
    names = imported_by(Path("telemetry/semconv.py"))
    assert not [name for name in names if not is_standard_library(name)]


@pytest.mark.parametrize("module", outside("adapters", "attribution", "cli"), ids=str)
def test_libraries_are_known_to_adapters_and_attribution_only(module: Path) -> None:
    """Beyond them, the package rests on OpenTelemetry and wrapt: a library may be missing."""
    foreign = [
        name
        for name in imported_by(module)
        if not is_standard_library(name) and not is_under(name, "opentelemetry", "wrapt")
    ]
    assert not foreign


@pytest.mark.parametrize("module", in_folder("adapters", "attribution"), ids=str)
def test_adapters_import_no_library_when_they_are_imported(module: Path) -> None:
    """An HTTP library or any-llm is looked at when it is there, inside a function."""
    tree = ast.parse((PACKAGE / module).read_text())
    top = {name for node in module_level_imports(tree) for name in names_of(node)}
    assert not [name for name in top if not is_standard_library(name) and name != "wrapt"]


def module_level_imports(tree: ast.Module) -> Iterator[ast.Import | ast.ImportFrom]:
    """Import statements that run with the module's import, those for type checkers left out."""
    pending: list[ast.stmt] = list(tree.body)
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif isinstance(node, ast.If) and "TYPE_CHECKING" not in ast.unparse(node.test):
            pending += node.body + node.orelse
        elif isinstance(node, ast.Try):
            pending += node.body + node.orelse + node.finalbody
        elif isinstance(node, ast.ClassDef):
            pending += node.body


def names_of(node: ast.Import | ast.ImportFrom) -> list[str]:
    """Top-level names that a statement imports from outside the package."""
    if isinstance(node, ast.Import):
        return [alias.name.split(".")[0] for alias in node.names]
    if node.level or (node.module or "").startswith("opentelemetry"):
        return []
    return [(node.module or "").split(".")[0]]


@pytest.mark.parametrize("module", outside("cli"), ids=str)
def test_nothing_imports_the_command_line(module: Path) -> None:
    """The CLI is apart."""
    assert not [name for name in imported_by(module) if is_under(name, f"{PACKAGE_NAME}.cli")]


@pytest.mark.parametrize("module", outside("cli", "limits"), ids=str)
def test_nothing_imports_the_limits(module: Path) -> None:
    """They are changed only for who imports that module.

    Setting a variable of theirs is asking for them, too, and where that is so `instrument()`
    imports them, in one function: docs/decisions/0008.
    """
    limits = f"{PACKAGE_NAME}.limits"
    if module == Path("instrumentor.py"):
        tree = ast.parse((PACKAGE / module).read_text())
        places = [
            node.name
            for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef)
            and any(isinstance(n, ast.ImportFrom) and n.module == "limits" for n in ast.walk(node))
        ]
        assert places == ["_set_limits_of_environment"]
        names = [node.module for node in module_level_imports(tree) if hasattr(node, "module")]
        assert "limits" not in names
        return
    assert not [name for name in imported_by(module) if is_under(name, limits)]


def test_limits_know_nothing_of_telemetry_and_findings() -> None:
    """What changes behaviour is apart from what observes it."""
    observing = [f"{PACKAGE_NAME}.{name}" for name in ("telemetry", "diagnosis", "installation")]
    for module in in_folder("limits"):
        assert not [name for name in imported_by(module) if is_under(name, *observing)], module
