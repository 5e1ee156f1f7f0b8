"""Downloads a suite's source distribution, and makes the environment that it runs in."""

import subprocess
import sys
import tarfile
from importlib.metadata import version
from pathlib import Path
from typing import Final

from studies.talking import ran

from .suites import Suite

ROOT: Final = Path(__file__).parents[3]
_CACHE = ROOT / ".cache" / "peers"
_TIMEOUT = 600.0


def source(suite: Suite) -> Path:
    """The unpacked source distribution of the installed version, downloaded once."""
    name = f"{suite.name}-{version(suite.name)}"
    folder = _CACHE / name
    if not folder.exists():
        downloads = _CACHE / "downloads"
        # For this distribution only: its build requirements may be wheels.
        source_only = f"--no-binary={suite.name}"
        wanted = f"{suite.name}=={version(suite.name)}"
        python = Path(sys.executable)
        _pip(python, "download", "--no-deps", source_only, f"--dest={downloads}", wanted)
        unpack(downloads / f"{name}.tar.gz", folder, suite.package)
    return folder


def unpack(archive: Path, folder: Path, package: str) -> None:
    """Unpack without the library itself, which would shadow the installed one."""
    unfinished = folder.with_suffix(".unpacking")
    with tarfile.open(archive) as opened:
        members = [one for one in opened if Path(one.name).parts[1:2] != (package,)]
        opened.extractall(unfinished, [one for one in members if one.name != "."], filter="data")
    (inside,) = unfinished.iterdir()
    inside.rename(folder)
    unfinished.rmdir()


def environment(suite: Suite, folder: Path) -> Path:
    """The interpreter of the suite's virtual environment, which is made unless it is complete."""
    home = ROOT / ".venvs" / f"peer-{folder.name}"
    interpreter = home / "bin" / "python"
    stamp = home / "complete"
    if not stamp.exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", home], check=True)
        # --group came with pip 25.1.
        _pip(interpreter, "install", "--upgrade", "pip>=25.1")
        # In one step, so that the tests' pins don't undo what the package needs.
        ours = ("--editable", str(ROOT), "opentelemetry-sdk>=1.30")
        own = f"{suite.name}=={version(suite.name)}"
        _pip(interpreter, "install", own, *ours, *suite.requirements(folder))
        stamp.touch()
    return interpreter


def _pip(interpreter: Path, command: str, *arguments: str) -> None:
    ran(interpreter, "-m", "pip", command, "--quiet", *arguments, timeout=_TIMEOUT)
