"""``PYTHONPATH=tests python -m e2e.tools``: announce and build the missing tools.

Exits with 1 if a tool is still missing at the end.
"""

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from . import AGAIN, ToolsError
from .cache import WORKSPACE, Cache, cache_folder
from .kinds import Packages, Tool
from .pinned import COST, GO, tools

LAST_LINES = 15


def announce(cache: Cache, missing: Sequence[Tool]) -> None:
    """Print the commands before any of them runs."""
    print(f"Programs for the end-to-end tests, into {cache.folder}:")
    for tool in missing:
        print(f"  {tool.name} {tool.version}, now {cache.state(tool)}")
        for command in tool.commands(Path()):
            print(f"      {shlex.join(command)}")
    print(
        f"All of them take {COST} if Go's caches are empty, and less otherwise.\n"
        f"Needs Go {GO} or newer, and npm for Grafana's types. Nothing else is installed, and the"
        " repository stays unchanged.",
        flush=True,
    )


def build_environment() -> dict[str, str]:
    """Return the environment of the builds.

    It disables cgo, which needs a C compiler, a go.work above the cache, and version control.
    """
    ours = {**os.environ, "CGO_ENABLED": "0", "GOWORK": "off"}
    if shutil.which("go"):
        flags = subprocess.run(("go", "env", "GOFLAGS"), capture_output=True, text=True, check=True)
        ours["GOFLAGS"] = f"{flags.stdout.strip()} -buildvcs=false".strip()
    return ours


def bring(cache: Cache, tool: Tool) -> None:
    """Build one tool and install it in the cache. If it raises ToolsError, nothing has changed."""
    title = f"{tool.name} {tool.version}"
    needed = "npm" if isinstance(tool, Packages) else "go"
    if shutil.which(needed) is None:
        raise ToolsError(f"{title} needs {needed}, which is not on PATH. Install it; then: {AGAIN}")
    log_path = cache.log(tool)
    log_path.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(
        prefix=WORKSPACE, dir=cache.folder, ignore_cleanup_errors=True
    ) as name:
        environment = {**build_environment(), "GOBIN": name, "GOTMPDIR": name}
        with log_path.open("w") as log:
            for command in tool.commands(Path(name)):
                log.write(f"$ {shlex.join(command)}\n")
                log.flush()
                done = subprocess.run(
                    command, cwd=name, env=environment, stdout=log, stderr=log, check=False
                )
                if done.returncode:
                    end = log_path.read_text(errors="replace").splitlines()[-LAST_LINES:]
                    raise ToolsError(
                        f"{title} could not be built. The command ended with status"
                        f" {done.returncode}; the end of {log_path}:\n    " + "\n    ".join(end)
                    )
        made = tool.made(Path(name))
        tool.check(made)
        cache.install(tool, made)


def bring_all(cache: Cache) -> int:
    """Build the missing tools. Returns the exit status."""
    without = []
    if missing := [tool for tool in tools() if cache.state(tool) != "there"]:
        announce(cache, missing)
        cache.folder.mkdir(parents=True, exist_ok=True)
        with cache.locked():
            for tool in missing:
                if cache.state(tool) == "there":  # built by the run that this one waited for
                    continue
                print(f"{tool.name} {tool.version} ...", flush=True)
                started = time.monotonic()
                try:
                    bring(cache, tool)
                except (ToolsError, OSError) as error:
                    print(f"{error}\n", file=sys.stderr, flush=True)
                    without.append(tool.name)
                else:
                    print(f"    built in {time.monotonic() - started:.0f} s", flush=True)
    if without:
        print(f"Missing as pinned: {', '.join(without)}", file=sys.stderr)
        return 1
    print(f"All present, in {cache.folder}")
    return 0


def main() -> int:
    """Build the missing tools. Returns the exit status."""
    try:
        return bring_all(Cache(cache_folder(os.environ)))
    except (ToolsError, OSError) as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
