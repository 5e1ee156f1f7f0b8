"""The suites that are run, and what each needs: the table is ``suites.toml``."""

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
    """Arguments of ``pip install`` for what the tests need, by the unpacked distribution."""
    arguments: tuple[str, ...]
    """Arguments of pytest."""
    tests: str
    """The folder of the tests."""
    package: str
    """The folder of the library itself, which is left out: the wheel is what is tested."""
    unattainable: str = ""
    """What of the requirements can't be had from a package index, and what is lost without it."""
    label: str = ""
    """What it is called where a distribution's suite is run in several ways."""
    plugins: tuple[str, ...] = ()
    """Plug-ins of ours that it is run with both ways."""
    unseen: str = ""
    """Why none of its requests goes through a pool; empty where some must."""


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
