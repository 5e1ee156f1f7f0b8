"""The environments of the compatibility matrix: what is installed beside the package, and why.

Only data and the standard library, since nox reads it.
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[3]

PYTHONS: Final = ("3.11", "3.12", "3.13", "3.14", "3.15")
"""Python versions of the matrix. Those that are not on PATH are reported as missing and skipped."""

_TESTS = ("tests/studies/compat/test_environment.py", "tests/integration/auto_instrument")
_TAKEN_BACK = {"grpcio": "1.72.1"}
"""The next version of each dependency whose lowest version was yanked."""


@dataclass(frozen=True, slots=True)
class Environment:
    """What is installed beside the package, and what must not be there."""

    shows: str
    """Description, as in docs/maintainers/compatibility.md."""
    requirements: tuple[str, ...]
    constraints: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    """Modules that must not be importable."""
    tests: tuple[str, ...] = _TESTS
    extra: str = ""
    """An extra of the package itself."""


def floors(*extras: str) -> Mapping[str, str]:
    """The lowest version that pyproject.toml allows of each dependency, by name."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    requirements = list(project["dependencies"])
    for extra in extras:
        requirements += project["optional-dependencies"][extra]
    found = {}
    for requirement in requirements:
        match = re.match(r"([\w.-]+)(?:\[[\w,-]+\])?>=([\w.]+)", requirement)
        if match:  # a reference to an extra of our own has no version
            found[match[1]] = match[2]
    return found


def _requirements(words: str) -> list[str]:
    """The pip requirements for one entry of the table."""
    kind, _, rest = words.partition(" ")
    if kind == "lowest":
        extras = ("cli", "demo") if rest == "all" else ("http",)
        found = {**floors("instruments-any", *extras), **_TAKEN_BACK}
        # The others have their own constraints, or must be absent.
        apart = ("httpx2", "httpcore2", "urllib3")
        names = [name for name in found if name not in apart] if rest == "all" else [rest]
        return [f"{name}=={found[name]}" for name in names]
    if kind == "opentelemetry":
        stable, beta = rest.split()
        betas = ("instrumentation", "semantic-conventions", "distro")
        versions = {"api": stable, "sdk": stable, **dict.fromkeys(betas, beta)}
        return [f"opentelemetry-{name}=={version}" for name, version in versions.items()]
    return [words]


def _environment(entry: dict[str, Any]) -> Environment:
    for key in entry.keys() & {"requirements", "constraints"}:
        entry[key] = [each for words in entry[key] for each in _requirements(words)]
    return Environment(**{k: v if isinstance(v, str) else tuple(v) for k, v in entry.items()})


_TABLE = tomllib.loads(Path(__file__).with_suffix(".toml").read_text())
ENVIRONMENTS: Final = {name: _environment(one) for name, one in _TABLE["environments"].items()}
