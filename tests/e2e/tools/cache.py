"""The cache of built tools."""

import contextlib
import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from . import AGAIN, ToolsError
from .kinds import Tool

VARIABLE = "GLUELLM_E2E_TOOLS"
FOLDER = "gluellm-e2e-tools"

# Prefix of folders for unfinished builds. They are in the cache, so that a rename installs a tool.
WORKSPACE = "build-"


def cache_folder(environment: Mapping[str, str]) -> Path:
    """Return the cache's folder. Raises ToolsError if the environment does not define one."""
    if named := environment.get(VARIABLE):
        if not Path(named).is_absolute():
            raise ToolsError(f"{VARIABLE} is {named}; it has to be an absolute path.")
        return Path(named)
    # The XDG base directory specification requires that relative paths are ignored.
    if (caches := Path(environment.get("XDG_CACHE_HOME", ""))).is_absolute():
        return caches / FOLDER
    if home := environment.get("HOME"):
        return Path(home).absolute() / ".cache" / FOLDER
    raise ToolsError(
        "HOME is not set, so there is no folder for the programs.\n"
        f"Set HOME, or {VARIABLE} to a folder outside the repository; then: {AGAIN}"
    )


@dataclass(frozen=True, slots=True)
class Cache:
    """Folders with the tools, and for each tool a stamp (its sources) and its last build's log."""

    folder: Path

    def path(self, tool: Tool) -> Path:
        """Return the path at which the tool is or will be installed."""
        return self.folder / tool.folder / tool.name

    def log(self, tool: Tool) -> Path:
        """Return the path of the output of its last build."""
        return self.folder / "logs" / f"{tool.name}.log"

    def stamp(self, tool: Tool) -> Path:
        """Return the path of the file with the installed tool's `identity`."""
        return self.folder / "stamps" / f"{tool.name}.json"

    def state(self, tool: Tool) -> str:
        """Return ``there`` (as pinned), ``other`` (another version) or ``missing``."""
        if not os.access(self.path(tool), tool.access):
            return "missing"
        try:
            stamp = json.loads(self.stamp(tool).read_text())
        except (OSError, ValueError):
            return "other"
        return "there" if stamp == tool.identity else "other"

    def install(self, tool: Tool, made: Path) -> None:
        """Install a built tool. If this is interrupted, no stamp is left that does not match."""
        target, stamp = self.path(tool), self.stamp(tool)
        target.parent.mkdir(exist_ok=True)
        stamp.parent.mkdir(exist_ok=True)
        stamp.unlink(missing_ok=True)
        if made.is_dir():
            shutil.rmtree(target, ignore_errors=True)
        made.replace(target)
        written = made.with_name("stamp")
        written.write_text(json.dumps(tool.identity, indent=2) + "\n")
        written.replace(stamp)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Allow one run at a time. Remove the workspaces of killed runs first."""
        with (self.folder / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                print("Another run is building in this folder: waiting for its end.", flush=True)
                fcntl.flock(lock, fcntl.LOCK_EX)
            for left in self.folder.glob(f"{WORKSPACE}*"):
                shutil.rmtree(left, ignore_errors=True)
            yield
