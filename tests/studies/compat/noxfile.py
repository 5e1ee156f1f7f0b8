"""The compatibility matrix: ``make matrix``, and ``make canary`` for what is to come.

Each session makes an environment from ``environments.py``, runs tests in it on the package as users
get it (built, not editable), and notes what was installed and what came of it below .cache/compat.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import nox

sys.path.insert(0, str(Path(__file__).parent))

from environments import CANARIES, ENVIRONMENTS, PYTHONS, ROOT, Environment

nox.needs_version = ">=2025.5"
nox.options.sessions = ["environment"]
nox.options.envdir = str(ROOT / ".venvs" / "matrix")
nox.options.error_on_missing_interpreters = False

KEPT = ROOT / ".cache" / "compat"
_WHATEVER = range(256)
"""Exit statuses of a step whose failure is told and fails nothing."""


@nox.session(python=PYTHONS)
@nox.parametrize("name", [nox.param(name, id=name) for name in ENVIRONMENTS])
def environment(session: nox.Session, name: str) -> None:
    """The tests in one environment."""
    os.chdir(ROOT)
    _install(session, ENVIRONMENTS[name])
    junit = _test(session, name, ENVIRONMENTS[name])
    _record(session, name, junit)


@nox.session
@nox.parametrize("name", [nox.param(name, id=name) for name in CANARIES])
def canary(session: nox.Session, name: str) -> None:
    """The same with the newest pre-releases. Tells what came of it, and doesn't fail."""
    os.chdir(ROOT)
    label = f"canary-{name}"
    kept = KEPT / label
    try:
        _install(session, CANARIES[name])
        junit = _test(session, label, CANARIES[name], success_codes=_WHATEVER)
        _record(session, label, junit, folder=kept, canary=True)
    except nox.command.CommandFailed:
        session.warn(f"canary {name}: NOT RUN, its versions can't be installed together")


def _install(session: nox.Session, wanted: Environment) -> None:
    constraints = Path(session.create_tmp()) / "constraints.txt"
    constraints.write_text("\n".join(wanted.constraints) + "\n")
    session.install(
        "--constraint",
        str(constraints),
        f"{ROOT}[{wanted.extra}]" if wanted.extra else str(ROOT),
        "pytest>=8.3",
        "pytest-timeout>=2.3",
        "opentelemetry-sdk>=1.30",
        "opentelemetry-distro>=0.51b0",
        *wanted.requirements,
    )


def _test(
    session: nox.Session, name: str, wanted: Environment, success_codes: range = range(1)
) -> Path:
    junit = Path(session.create_tmp()) / "junit.xml"
    junit.unlink(missing_ok=True)
    session.run(
        *("python", "-m", "pytest", "-q", "--noconftest", "-p", "no:cacheprovider"),
        f"--junitxml={junit}",
        *wanted.tests,
        env={"GLUELLM_ABSENT": ",".join(wanted.absent)},
        success_codes=list(success_codes),
    )
    return junit


def _record(
    session: nox.Session, name: str, junit: Path, folder: Path = KEPT, canary: bool = False
) -> None:
    session.run(
        *("python", "tests/studies/compat/record.py", name, str(junit), str(folder)),
        *(("--canary",) if canary else ()),
    )
