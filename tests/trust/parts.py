"""The parts of the run: what each is called, and the command that makes its figures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Part:
    """One part. Exactly one of ``program`` and ``tests`` is there, or neither for the matrix."""

    name: str
    title: str
    minutes: float
    """About how long it takes on 2 cores."""
    program: tuple[str, ...] = ()
    """A module below tests and its arguments; it takes ``--figures FILE`` as well."""
    tests: tuple[str, ...] = ()
    """What pytest runs; the figures are what its tests record as properties."""


PARTS: Final = (
    Part("soak", "Chaos and soak", 31, program=("soak", "--minutes", "30")),
    Part("peers", "Peers' own test suites", 25, program=("peers",)),
    Part(
        "truth",
        "Truth against the operating system and a server's schedule",
        5,
        program=("truth", "--seconds", "300"),
    ),
    Part("model", "A stateful model of a pool", 10, program=("model", "--minutes", "10")),
    Part("churn", "Churn", 4, program=("churn",)),
    Part(
        "process",
        "Forks, interpreters, signals, shutdown",
        2,
        tests=("tests/integration/process", "tests/integration/rules/test_fork.py"),
    ),
    Part(
        "fail-open",
        "Fail open",
        4,
        tests=(
            "tests/integration/fail_open",
            "tests/integration/rules/test_seams.py",
            "tests/integration/rules/test_aiohttp_seams.py",
            "tests/integration/rules/test_urllib3_seams.py",
            "tests/integration/rules/test_grpc_seams.py",
        ),
    ),
    Part("secrets", "Secrets and hostile strings", 2, tests=("tests/integration/secrets",)),
    Part("fuzz", "Bad input", 5, program=("fuzz", "--seconds", "300")),
    Part(
        "doctor",
        "doctor and the report signal, other users and a hostile environment",
        2,
        tests=("tests/integration/doctor",),
    ),
    Part("matrix", "Compatibility", 15),
)
