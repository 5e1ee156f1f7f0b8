"""Kinds of tools: programs from Go modules, a file of a Go module, npm packages."""

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
    """A tool in the cache, built by commands."""

    name: str
    version: str

    folder: ClassVar[str]
    """Folder in the cache."""
    access: ClassVar[int] = os.R_OK
    """Access that a usable tool must allow."""

    @property
    @abstractmethod
    def identity(self) -> dict[str, object]:
        """What it is built from. A change causes a new build."""

    @abstractmethod
    def commands(self, workspace: Path) -> tuple[tuple[str, ...], ...]:
        """Return the build commands. GOBIN and the current directory are the workspace."""

    def made(self, workspace: Path) -> Path:
        """Return the path at which the commands create it."""
        return workspace / self.name

    @abstractmethod
    def check(self, made: Path) -> None:
        """Raise ToolsError if it doesn't work here, or is another version."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Program(Tool):
    """A program built with Go."""

    package: str
    """Argument of ``go install``: a package with the version of its module."""
    flags: tuple[str, ...] = ()
    asked: str = "--version"
    """Argument with which it prints its version."""
    manifest: Path | None = None
    """Manifest for the Collector's builder. The package is the builder then."""

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
        # The manifest's output_path is ``build``.
        return (workspace / "build" if self.manifest else workspace) / self.name

    def check(self, made: Path) -> None:
        title = f"{self.name} {self.version}"
        try:
            answer = subprocess.run(
                (made, self.asked), capture_output=True, text=True, timeout=60, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ToolsError(f"{title} was built, but doesn't run: {error}") from None
        output = answer.stdout + answer.stderr
        if self.version not in output:
            raise ToolsError(f"{title} was built, but prints as version:\n    {output.strip()}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleFile(Tool):
    """A file of a Go module, whose checksum Go verifies."""

    module: str
    path: str
    """Path of the file in the module. The file keeps its name."""

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
    """npm packages in exact versions. Their scripts do not run."""

    manifest: Path
    """The package.json that lists them."""

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
    """Hash a manifest without comments, whose changes need no new build."""
    content = re.sub(r"^\s*#.*\n", "", manifest.read_text(), flags=re.MULTILINE)
    return hashlib.sha256(content.encode()).hexdigest()
