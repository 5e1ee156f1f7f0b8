"""What can be brought: programs from Go modules, a file of one, packages of npm."""

import hashlib
import json
import os
import re
import subprocess
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from . import ToolsError


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool(ABC):
    """Something in the cache, made by commands."""

    name: str
    version: str

    folder: ClassVar[str]
    """Where in the cache it is put."""
    access: ClassVar[int] = os.R_OK
    """What has to be allowed for it to be of use."""

    @property
    @abstractmethod
    def identity(self) -> dict[str, object]:
        """What it is made from. While this stays, what is there is kept."""

    @abstractmethod
    def commands(self, workspace: Path) -> tuple[tuple[str, ...], ...]:
        """How it is made, with the workspace as GOBIN and as the current directory."""

    def made(self, workspace: Path) -> Path:
        """Where the commands leave it."""
        return workspace / self.name

    @abstractmethod
    def check(self, made: Path) -> None:
        """Raises ToolsError for what doesn't work here, or is another version."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Program(Tool):
    """One program, built with Go."""

    package: str
    """What ``go install`` is asked for: a package, with the version of its module."""
    flags: tuple[str, ...] = ()
    asked: str = "--version"
    """The argument for which it says its version."""
    manifest: Path | None = None
    """For the Collector, whose package is that of its builder: what the builder reads."""

    folder: ClassVar[str] = "bin"
    access: ClassVar[int] = os.X_OK

    @property
    def identity(self) -> dict[str, object]:
        manifest = self.manifest and digest(self.manifest)
        return {"package": self.package, "flags": list(self.flags), "manifest": manifest}

    def commands(self, workspace: Path) -> tuple[tuple[str, ...], ...]:
        install = ("go", "install", "-trimpath", *self.flags, self.package)
        if self.manifest is None:
            return (install,)
        return install, (str(workspace / "builder"), "--config", str(self.manifest))

    def made(self, workspace: Path) -> Path:
        # ``build`` is the manifest's output_path.
        return (workspace / "build" if self.manifest else workspace) / self.name

    def check(self, made: Path) -> None:
        title = f"{self.name} {self.version}"
        try:
            answer = subprocess.run(
                (made, self.asked), capture_output=True, text=True, timeout=60, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ToolsError(f"{title} was built and doesn't run: {error}") from None
        said = answer.stdout + answer.stderr
        if self.version not in said:
            raise ToolsError(f"{title} was built, and says of its version:\n    {said.strip()}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleFile(Tool):
    """One file of a Go module, whose sum Go checks."""

    module: str
    path: str
    """Of the file, in the module; it keeps its name."""

    folder: ClassVar[str] = "files"

    @property
    def identity(self) -> dict[str, object]:
        return {"module": f"{self.module}@{self.version}", "path": self.path}

    def commands(self, workspace: Path) -> tuple[tuple[str, ...], ...]:
        module = f"{self.module}@{self.version}"
        found = f"go list -mod=mod -m -f '{{{{.Dir}}}}' {module}"
        copy = f'cp "$({found})/{self.path}" {self.name}'
        return ("go", "mod", "download", module), ("sh", "-c", copy)

    def check(self, made: Path) -> None:
        if not made.stat().st_size:
            raise ToolsError(f"{self.path} of {self.module} {self.version} is empty")


@dataclass(frozen=True, slots=True, kw_only=True)
class Packages(Tool):
    """Packages of npm, of exact versions; none of their scripts is run."""

    manifest: Path
    """Their package.json."""

    folder: ClassVar[str] = "packages"

    @property
    def identity(self) -> dict[str, object]:
        return {"manifest": digest(self.manifest)}

    def commands(self, workspace: Path) -> tuple[tuple[str, ...], ...]:
        options = ("--ignore-scripts", "--no-audit", "--no-fund", "--no-package-lock")
        return (
            ("mkdir", self.name),
            ("cp", str(self.manifest), self.name),
            ("npm", "install", "--prefix", self.name, *options),
        )

    def check(self, made: Path) -> None:
        for name, asked in json.loads(self.manifest.read_text())["dependencies"].items():
            package = made / "node_modules" / name / "package.json"
            found, version = json.loads(package.read_text())["version"], asked.rpartition("@")[2]
            if found != version:
                raise ToolsError(f"npm installed {name} {found} instead of {version}")


def digest(manifest: Path) -> str:
    """Of what it says, without comments: these may change without another build."""
    said = re.sub(r"^\s*#.*\n", "", manifest.read_text(), flags=re.MULTILINE)
    return hashlib.sha256(said.encode()).hexdigest()
