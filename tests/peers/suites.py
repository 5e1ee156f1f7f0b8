"""The suites that are run, and what each needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
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


SUITES: Final = {
    suite.name: suite
    for suite in (
        Suite(
            "aiohttp",
            requirements=lambda folder: ("-r", str(folder / "requirements" / "test.txt")),
            # What its pytest.ini has besides coverage, for which nobody asks here.
            arguments=(
                "--override-ini=addopts=",
                "--no-cov",
                "--doctest-modules",
                "--strict-markers",
                "-m",
                "not dev_mode and not autobahn and not internal",
                "-n",
                "2",
            ),
            tests="tests",
            package="aiohttp",
        ),
        Suite(
            "urllib3",
            requirements=lambda folder: ("--group", f"{folder / 'pyproject.toml'}:dev"),
            # What requires a network expects that of certain addresses nobody answers.
            arguments=("-m", "not requires_network", "--timeout", "20"),
            tests="test",
            package="src",
            unattainable=(
                "urllib3's branch of hypercorn, named in its pyproject.toml: without it what goes "
                "through a proxy fails, and some of TLS, both off and on. --with urllib3=FOLDER "
                "installs a copy of it"
            ),
        ),
    )
}
