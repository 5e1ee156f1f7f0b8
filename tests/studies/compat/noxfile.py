"""The compatibility matrix: ``make -C tests/studies matrix``.

Each session makes an environment from ``environments.py`` and runs tests in it on the package as
users get it (built, not editable).
"""

import os
import sys
from pathlib import Path

import nox

sys.path.insert(0, str(Path(__file__).parent))

from environments import ENVIRONMENTS, PYTHONS, ROOT

nox.needs_version = ">=2025.5"
nox.options.sessions = ["environment"]
nox.options.envdir = str(ROOT / ".venvs" / "matrix")
nox.options.error_on_missing_interpreters = False


@nox.session(python=PYTHONS)
@nox.parametrize("name", [nox.param(name, id=name) for name in ENVIRONMENTS])
def environment(session: nox.Session, name: str) -> None:
    """Run the tests in one environment."""
    os.chdir(ROOT)
    wanted = ENVIRONMENTS[name]
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
        "h11>=0.14",  # of the fake provider
        *wanted.requirements,
    )
    session.run(
        *("python", "-m", "pytest", "-q", "--noconftest", "-p", "no:cacheprovider"),
        *wanted.tests,
        env={"GLUELLM_ABSENT": ",".join(wanted.absent)},
    )
