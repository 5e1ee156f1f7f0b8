"""The folder that the programs are kept in."""

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

# Unfinished work is in a folder of this name, inside the cache, so that a rename puts it in place.
WORKSPACE = "build-"


def cache_folder(environment: Mapping[str, str]) -> Path:
    """Where the programs are kept. Raises ToolsError when the environment names no place."""
    if named := environment.get(VARIABLE):
        if not Path(named).is_absolute():
            raise ToolsError(f"{VARIABLE} is {named}; it has to be an absolute path.")
        return Path(named)
    # The XDG base directory specification has a relative one ignored.
    if (caches := Path(environment.get("XDG_CACHE_HOME", ""))).is_absolute():
        return caches / FOLDER
    if home := environment.get("HOME"):
        return Path(home).absolute() / ".cache" / FOLDER
    raise ToolsError(
        "HOME is not set, so there is no place for the programs.\n"
        f"Set HOME, or {VARIABLE} to a folder outside the repository; then: {AGAIN}"
    )


@dataclass(frozen=True, slots=True)
class Cache:
    """``bin`` and others, and per tool a stamp (what it was made from) and the log of its last
    making."""

    folder: Path

    def path(self, tool: Tool) -> Path:
        """Where the tool is, or will be."""
        return self.folder / tool.folder / tool.name

    def log(self, tool: Tool) -> Path:
        """What its last build printed."""
        return self.folder / "logs" / f"{tool.name}.log"

    def stamp(self, tool: Tool) -> Path:
        """What the tool that is there was made from."""
        return self.folder / "stamps" / f"{tool.name}.json"

    def state(self, tool: Tool) -> str:
        """``there`` as pinned, ``other`` than pinned, or ``missing``."""
        if not os.access(self.path(tool), tool.access):
            return "missing"
        try:
            stamp = json.loads(self.stamp(tool).read_text())
        except (OSError, ValueError):
            return "other"
        return "there" if stamp == tool.identity else "other"

    def install(self, tool: Tool, made: Path) -> None:
        """Put it in place. Wherever this is interrupted, no stamp tells of another tool."""
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
        """One run at a time. What a killed one left is removed first."""
        with (self.folder / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                print("Another run is at work in this folder: waiting for its end.", flush=True)
                fcntl.flock(lock, fcntl.LOCK_EX)
            for left in self.folder.glob(f"{WORKSPACE}*"):
                shutil.rmtree(left, ignore_errors=True)
            yield
