"""Imports of modules, and names of the telemetry contract.

import-linter checks imports inside the package (see pyproject.toml). These tests check imports from
outside it, whose rules depend on the importing module.
"""

from __future__ import annotations

import ast
import functools
import graphlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from opentelemetry.instrumentation.gluellm.telemetry import semconv

ROOT = Path(__file__).parents[3]
PACKAGE = ROOT / "src" / "opentelemetry" / "instrumentation" / "gluellm"
PACKAGE_NAME = "opentelemetry.instrumentation.gluellm"

MODULES = sorted(path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py"))

SIGNAL_APIS = ("opentelemetry.metrics", "opentelemetry.trace", "opentelemetry._logs")
PROVIDERS = ("opentelemetry.metrics.MeterProvider", "opentelemetry.trace.TracerProvider")
WIRING = ("instrumentor.py", "installation.py", "http_spans.py", "attached.py")
OPENTELEMETRY_SDK = "opentelemetry.sdk"
RESOURCE_DETECTOR = Path("resource_detector.py")
"""Loaded by the SDK alone, so that its import cannot fail."""


@functools.cache
def tree_of(module: Path) -> ast.Module:
    return ast.parse((PACKAGE / module).read_text())


def names_of(module: Path, node: ast.AST) -> Iterator[str]:
    """Dotted names that a statement imports, relative ones made absolute.

    ``from a import b`` counts as ``a.b``, since b can be a module.
    """
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        package = [*PACKAGE_NAME.split("."), *module.parent.parts]
        base = package[: len(package) - node.level + 1] if node.level else []
        prefix = ".".join([*base, *([node.module] if node.module else [])])
        yield from (f"{prefix}.{alias.name}" for alias in node.names)


@functools.cache
def imported_by(module: Path) -> list[str]:
    return [name for node in ast.walk(tree_of(module)) for name in names_of(module, node)]


def run_at_import(node: ast.AST) -> Iterator[ast.AST]:
    """The statements below a node, except in functions and for type checkers."""
    for child in ast.iter_child_nodes(node):
        checked = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)
        if not checked and not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield child
            yield from run_at_import(child)


def is_under(name: str, *packages: str) -> bool:
    """Whether a dotted name is one of the packages, or in one."""
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


def wired(module: Path, name: str) -> bool:
    """Whether a module may import a name: of signals, the wiring imports only providers."""
    if module == RESOURCE_DETECTOR:
        return True
    signals = is_under(name, *SIGNAL_APIS, OPENTELEMETRY_SDK)
    return not signals or (module.name in WIRING and name in PROVIDERS)


LAZY_DOORS = (Path("__init__.py"), Path("installation.py"))
"""The modules that import the judge, when its names are used and at the first judgement."""
BELOW_THE_POOL = ("pool", "concurrency", "failures", "text", "thresholds", "vocabulary")
OBSERVING = [f"{PACKAGE_NAME}.{name}" for name in ("telemetry", "snapshots", "installation")]
RULES: dict[str, tuple[list[Path], Callable[[Path, str], bool]]] = {
    # The thresholds are numbers without imports.
    "the pool rests on the standard library alone": (
        in_folder("pool"),
        lambda _, name: (
            is_standard_library(name)
            or is_under(name, *(f"{PACKAGE_NAME}.{module}" for module in BELOW_THE_POOL))
        ),
    ),
    "only telemetry imports the APIs of signals": (outside("telemetry"), wired),
    "telemetry uses the API and not the SDK": (
        in_folder("telemetry"),
        lambda _, name: not is_under(name, OPENTELEMETRY_SDK),
    ),
    "dashboards and docs read the contract without anything installed": (
        [Path("telemetry/semconv.py"), Path("vocabulary.py")],
        lambda _, name: is_standard_library(name) or is_under(name, f"{PACKAGE_NAME}.vocabulary"),
    ),
    "adapters and attribution alone know libraries, which may be missing": (
        outside("adapters", "attribution"),
        lambda module, name: (
            is_standard_library(name)
            or is_under(name, "opentelemetry", "wrapt")
            or (module in LAZY_DOORS and is_under(name, "gluellm_diagnosis"))
        ),
    ),
    "limits know nothing of what observes": (
        in_folder("limits"),
        lambda _, name: not is_under(name, *OBSERVING),
    ),
}


@pytest.mark.parametrize("rule", RULES)
def test_modules_import_only_what_they_may(rule):
    modules, allowed = RULES[rule]
    assert modules
    wrong = [(str(m), name) for m in modules for name in imported_by(m) if not allowed(m, name)]
    assert not wrong


def test_imports_have_no_cycle():
    """Imports inside functions and for types count as well."""

    def dotted(module):
        parts = [PACKAGE_NAME, *module.with_suffix("").parts]
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    known = {dotted(module) for module in MODULES}
    graph = {
        dotted(module): {
            name if name in known else name.rpartition(".")[0] for name in imported_by(module)
        }
        & known - {dotted(module)}
        for module in MODULES
    }
    assert len([*graphlib.TopologicalSorter(graph).static_order()]) == len(known)


def test_adapters_import_no_library_when_they_are_imported():
    """Functions import HTTP libraries and any-llm when these are installed."""
    for module in in_folder("adapters", "attribution"):
        nodes = run_at_import(tree_of(module))
        names = [name for node in nodes for name in names_of(module, node)]
        allowed = ("opentelemetry", "wrapt")
        assert not [n for n in names if not (is_standard_library(n) or is_under(n, *allowed))], (
            module
        )


def test_no_other_module_spells_a_name_of_the_contract():
    """A second spelling can be forgotten in a rename."""
    names = {metric.name for metric in semconv.METRICS} | {
        value
        for value in vars(semconv).values()
        if isinstance(value, str) and "." in value and value != semconv.SCOPE_NAME
    }
    assert {"gluellm.pool.requests", "gen_ai.provider.name", "error.type"} <= names
    spelled = [
        (module, node.value)
        for module in MODULES
        if module != Path("telemetry/semconv.py")
        for node in ast.walk(tree_of(module))
        if isinstance(node, ast.Constant) and node.value in names
    ]
    assert not spelled
