"""The telemetry contract has one home: no other module spells a name or a key of it."""

from __future__ import annotations

import ast
from pathlib import Path

from opentelemetry.instrumentation.gluellm.telemetry import semconv

PACKAGE = Path(semconv.__file__).parents[1]
HOME = Path("telemetry/semconv.py")
MODULES = sorted(path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py"))

NAMES = {metric.name for metric in semconv.METRICS} | {
    value
    for value in vars(semconv).values()
    if isinstance(value, str) and "." in value and value != semconv.SCOPE_NAME
}


def test_no_other_module_spells_a_name_of_the_contract() -> None:
    """A second spelling is where a rename is forgotten."""
    assert {"gluellm.pool.requests", "gen_ai.provider.name", "error.type"} <= NAMES
    spelled = [
        (module, node.value)
        for module in MODULES
        if module != HOME
        for node in ast.walk(ast.parse((PACKAGE / module).read_text()))
        if isinstance(node, ast.Constant) and node.value in NAMES
    ]
    assert not spelled
