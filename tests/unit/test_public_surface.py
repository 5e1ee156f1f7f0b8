"""The public surface: what docs/maintainers/stability.md promises, name by name.

A change fails the test. ``WRITE_GOLDEN=1 python -m pytest tests/unit/test_public_surface.py``
rewrites ``public_surface.txt``; the change then needs a line in the changelog.
"""

import argparse
import dataclasses
import inspect
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_type_hints

from gluellm_diagnosis.findings import Fact, Kind, Severity
from gluellm_diagnosis.report import Report
from gluellm_pools import main as command
from opentelemetry.instrumentation import gluellm
from opentelemetry.instrumentation.gluellm import limits
from opentelemetry.instrumentation.gluellm.config import SETTINGS
from opentelemetry.instrumentation.gluellm.environment import LIMIT_VARIABLES
from opentelemetry.instrumentation.gluellm.snapshots.format import FORMAT
from opentelemetry.instrumentation.gluellm.telemetry import semconv

FINDING = gluellm.Finding(
    kind=Kind.LEAK, severity=Severity.ERROR, observed="", explanation="", advice=""
)
GOLDEN = Path(__file__).with_name("public_surface.txt")


def code() -> Iterator[str]:
    """Public names with their methods and parameters."""
    for module in (gluellm, limits):
        for name in module.__all__:
            value = getattr(module, name)
            if inspect.isclass(value):
                for member, found in inspect.getmembers(value, inspect.isroutine):
                    if not member.startswith("_"):
                        yield f"{name}.{member}({parameters(found)})"
            elif callable(value):
                yield f"{name}({parameters(value)})"
            else:
                yield name


def parameters(function: Any) -> str:
    return ", ".join(
        f"{parameter.kind.name.lower()} {name}"
        for name, parameter in inspect.signature(function).parameters.items()
        if name not in ("self", "cls")
    )


def variables() -> Iterator[str]:
    """Settings with their variables and defaults, and the variables of limits."""
    for each in SETTINGS:
        yield f"{each.name} {each.variable} {each.default!r}"
    yield from LIMIT_VARIABLES.values()


def telemetry() -> Iterator[str]:
    """Metrics with instrument, unit and attributes."""
    for metric in semconv.METRICS:
        keys = sorted((*metric.attributes, *metric.opt_in_attributes))
        yield f"{metric.name} {metric.instrument.name} {metric.unit} {' '.join(keys)}"


def fields_of(kind: Any, path: str) -> Iterator[str]:
    """Fields of a snapshot's part and of the parts in it."""
    hints = get_type_hints(kind)
    names = (
        [each.name for each in dataclasses.fields(kind)]
        if dataclasses.is_dataclass(kind)
        else list(getattr(kind, "_fields", ()))
    )
    for name in names:
        yield f"{path}{name}"
        for part in parts_in(hints[name]):
            yield from fields_of(part, f"{path}{name}.")


def parts_in(hint: Any) -> Iterator[Any]:
    if dataclasses.is_dataclass(hint) or hasattr(hint, "_fields"):
        yield hint
    for argument in get_args(hint):
        yield from parts_in(argument)


def options() -> Iterator[str]:
    """Options and arguments of the commands, and what their exit statuses mean."""
    _, commands = command._parsers()
    for name, parser in commands.items() if isinstance(commands, dict) else ():
        for action in parser._actions:
            if action.help is not argparse.SUPPRESS:
                yield f"{name} {' '.join(action.option_strings) or action.dest}"
        for meaning in re.findall(
            r"exit status.*?(?=\nexit status|\n\n|\Z)", parser.epilog, re.DOTALL
        ):
            yield f"{name}: {' '.join(meaning.split())}"


def surface() -> str:
    """All that is promised, a line each."""
    sections = {
        "code": code(),
        "settings": variables(),
        "metrics": telemetry(),
        f"snapshot, format {FORMAT}": fields_of(gluellm.Snapshot, ""),
        "findings": (
            *FINDING.to_dict(),
            *fields_of(Fact, "evidence."),
            *map(str, Severity),
            *map(str, Kind),
        ),
        "what_if()": fields_of(gluellm.WhatIf, ""),
        "doctor --json, one process": (each.name for each in dataclasses.fields(Report)),
        "commands": options(),
    }
    lines = [f"# {title}\n" + "\n".join(sorted(set(each))) for title, each in sections.items()]
    return "\n\n".join(lines) + "\n"


def test_public_surface_changes_only_on_purpose():
    """Users read these names in code, queries and scripts."""
    found = surface()
    if os.environ.get("WRITE_GOLDEN"):
        GOLDEN.write_text(found)
    assert found.splitlines() == GOLDEN.read_text().splitlines()
