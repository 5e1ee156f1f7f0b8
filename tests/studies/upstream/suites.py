"""The suites and what each needs, from ``suites.toml``."""

import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Final


@dataclass(frozen=True, slots=True)
class Suite:
    """One project's own tests, as its source distribution has them."""

    name: str
    """The distribution's name."""
    requirements: Callable[[Path], tuple[str, ...]]
    """Returns the arguments of ``pip install`` for the tests, given the unpacked distribution."""
    arguments: tuple[str, ...]
    """Arguments of pytest."""
    tests: str
    """The folder of the tests."""
    package: str
    """The folder of the library itself, which is left out because the wheel is tested."""
    unattainable: str = ""
    """Requirements that no package index has, and what fails without them."""
    label: str = ""
    """Name of the suite, if a distribution's suite is run in several ways."""
    plugins: tuple[str, ...] = ()
    """Plug-ins of this package that are loaded with the instrumentation off and on."""
    unseen: str = ""
    """Why none of its requests goes through a pool; empty if some have to."""


def _requirements(words: str, folder: Path) -> tuple[str, ...]:
    kind, _, name = words.partition(" ")
    if kind == "group":
        return ("--group", f"{folder / 'pyproject.toml'}:{name}")
    if kind == "file":
        return ("-r", str(folder / name))
    return (words + version(words.partition("[")[0].strip("=")) if words.endswith("==") else words,)


def _suites() -> Iterator[Suite]:
    for name, entry in tomllib.loads(Path(__file__).with_suffix(".toml").read_text()).items():
        wanted, through_pools = entry.pop("requirements"), entry.pop("through_pools", False)
        arguments = tuple(entry.pop("arguments"))
        suite = Suite(
            name,
            lambda folder, wanted=wanted: tuple(  # type: ignore[misc]
                part for words in wanted for part in _requirements(words, folder)
            ),
            arguments,
            **entry,
        )
        yield suite
        if through_pools:
            plugins = ("studies.upstream.beneath",)
            yield replace(suite, label=f"{name}-through-pools", plugins=plugins, unseen="")


SUITES: Final = {suite.label or suite.name: suite for suite in _suites()}
