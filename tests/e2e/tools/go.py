"""The Go that builds them."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from . import AGAIN, ToolsError
from .kinds import ModuleFile, Program

ASKED = ("GOVERSION", "GOTOOLCHAIN", "GOFLAGS", "GOPATH", "GOMODCACHE", "GOCACHE")


@dataclass(frozen=True, slots=True)
class Go:
    """The ``go`` on PATH, with the settings it has there."""

    version: str
    toolchain: str
    """GOTOOLCHAIN: whether Go may fetch a newer Go by itself. ``local`` says no."""
    modules: Path
    compiled: Path
    """Its two caches."""
    environment: dict[str, str]
    """What the builds run with."""

    @classmethod
    def find(
        cls, environment: Mapping[str, str], folder: Path, wanted: Sequence[Program | ModuleFile]
    ) -> Go:
        """Ask it, from within the folder. Raises ToolsError when there is none that answers."""
        if shutil.which("go", path=environment.get("PATH", "")) is None:
            raise ToolsError(
                "There is no go on PATH, and the programs are built from Go modules.\n"
                f"Install Go {dotted(newest(wanted))} or newer; then: {AGAIN}"
            )
        # Without cgo no C compiler is needed. A go.work above the cache is none of ours.
        ours = {**environment, "CGO_ENABLED": "0", "GOWORK": "off"}
        found = ask(ours, folder)
        # A home that is a git repository is none of the Collector's business.
        ours["GOFLAGS"] = f"{found['GOFLAGS']} -buildvcs=false".strip()
        # Go's caches stay where the user has them, and Go has none where HOME is missing.
        if not writable(found["GOPATH"].split(os.pathsep)[0]):
            ours["GOPATH"] = str(folder / "go")
            # Modules are read-only otherwise, and `rm -r` of the cache would fail.
            ours["GOFLAGS"] += " -modcacherw"
        if not writable(found["GOCACHE"]):
            ours["GOCACHE"] = str(folder / "go-build")
        found = ask(ours, folder)
        return cls(
            version=found["GOVERSION"],
            toolchain=found["GOTOOLCHAIN"],
            modules=Path(found["GOMODCACHE"]),
            compiled=Path(found["GOCACHE"]),
            environment=ours,
        )

    def too_old_for(self, tool: Program | ModuleFile) -> bool:
        """Whether Go would refuse to build it, rather than fetch a newer Go for it."""
        digits = re.match(r"go(\d+)\.(\d+)(?:\.(\d+))?", self.version)
        if digits is None:  # built from its sources, between two releases
            return False
        version = tuple(int(digit or 0) for digit in digits.groups())
        return version < tool.go and not self.toolchain.endswith("auto")

    def refuse_if_too_old(self, tool: Program | ModuleFile) -> None:
        """Raises ToolsError with what helps."""
        if self.too_old_for(tool):
            raise ToolsError(
                f"{tool.name} {tool.version} needs Go {dotted(tool.go)}; this is {self.version},"
                f" and GOTOOLCHAIN={self.toolchain} keeps it from fetching a newer one.\n"
                "Install a newer Go, or set GOTOOLCHAIN=auto."
            )


def newest(wanted: Sequence[Program | ModuleFile]) -> tuple[int, int, int]:
    """The Go that is new enough for all of them."""
    return max(tool.go for tool in wanted)


def ask(environment: Mapping[str, str], folder: Path) -> dict[str, str]:
    """``go env``. Raises ToolsError with what Go said when it fails."""
    command = ("go", "env", "-json", *ASKED)
    answer = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    try:
        found: dict[str, str] = json.loads(answer.stdout)
    except ValueError:
        said = (answer.stderr or answer.stdout).strip()
        raise ToolsError(f"`{shlex.join(command)}` failed:\n{said}") from None
    return dict.fromkeys(ASKED, "") | found


def writable(folder: str) -> bool:
    """Whether files can be kept in the folder, which need not be there yet."""
    path = Path(folder)
    if not path.is_absolute():
        return False
    path = existing(path)
    return path.is_dir() and os.access(path, os.W_OK | os.X_OK)


def existing(path: Path) -> Path:
    """The path, or the nearest one above it that is there."""
    while not path.exists():
        path = path.parent
    return path


def dotted(version: Sequence[int]) -> str:
    """1.26.7"""
    return ".".join(map(str, version))
