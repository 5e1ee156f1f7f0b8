"""The compatibility matrix: ``make matrix``, and ``make canary`` for what is to come.

Each session makes an environment from ``environments.py``, runs tests in it on the package as users
get it (built, not editable), and keeps what was installed and what came of it below .cache/compat.
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


@nox.session(python=PYTHONS)
@nox.parametrize("name", [nox.param(name, id=name) for name in ENVIRONMENTS])
def environment(session: nox.Session, name: str) -> None:
    """The tests in one environment."""
    _install(session, ENVIRONMENTS[name])
    _test(session, name, KEPT, ENVIRONMENTS[name])


@nox.session
@nox.parametrize("name", [nox.param(name, id=name) for name in CANARIES])
def canary(session: nox.Session, name: str) -> None:
    """The same with the newest pre-releases. Reports what fails, and never fails itself."""
    label = f"canary-{name}"
    try:
        _install(session, CANARIES[name])
    except nox.command.CommandFailed:
        session.warn(f"canary {name}: NOT RUN, its versions can't be installed together")
    else:
        _test(session, label, KEPT / label, CANARIES[name], success_codes=range(256))


def _install(session: nox.Session, wanted: Environment) -> None:
    os.chdir(ROOT)
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
    session: nox.Session,
    name: str,
    kept: Path,
    wanted: Environment,
    success_codes: range = range(1),
) -> None:
    session.run(
        *("python", "-m", "pytest", "-q", "--noconftest", "-p", "no:cacheprovider"),
        *("-p", "record", f"--environment={name}", f"--kept={kept}"),
        *wanted.tests,
        env={"GLUELLM_ABSENT": ",".join(wanted.absent), "PYTHONPATH": str(Path(__file__).parent)},
        success_codes=list(success_codes),
    )
