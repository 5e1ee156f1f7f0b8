"""``PYTHONPATH=tests python -m e2e.tools``: say what will be done, and do it.

Exits 1 when something is missing in the end.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from . import ToolsError
from . import __doc__ as about
from .cache import WORKSPACE, Cache, cache_folder
from .go import Go, dotted, existing, newest
from .kinds import ModuleFile, Packages, Program, Tool
from .pinned import tools

LAST_LINES = 15


def listed(cache: Cache, tool: Tool) -> str:
    """One line: what, which version, there or not, where."""
    state = {"other": "not as pinned"}.get(found := cache.state(tool), found)
    return f"{tool.name:<20} {tool.version:<9} {state:<14} {cache.path(tool)}"


def announce(cache: Cache, missing: Sequence[Tool]) -> None:
    """Say what will be done, before anything is."""
    print(f"Programs for the end-to-end tests, into {cache.folder}:", flush=True)
    for tool in missing:
        print(f"  {tool.name} {tool.version}, now {cache.state(tool)}")
        for command in tool.commands(Path()):
            print(f"      {shlex.join(command)}")
    needs = []
    if built := from_go(missing):
        needs.append(f"Go {dotted(newest(built))} or newer")
    if any(isinstance(tool, Packages) for tool in missing):
        needs.append("npm")
    minutes = max(1, round(sum(tool.seconds for tool in missing) / 60))
    print(
        f"Takes about {minutes} min on 2 cores and {space(missing)} of disk when Go's caches are"
        " empty, less when they aren't.\n"
        f"Needs {' and '.join(needs)}. Nothing else is installed, and the repository stays as it"
        " is.",
        flush=True,
    )


def space(missing: Sequence[Tool]) -> str:
    """About how much disk it needs, Go's caches included."""
    return f"{sum(tool.megabytes for tool in missing) / 1000:.1f} GB"


def from_go(wanted: Sequence[Tool]) -> list[Program | ModuleFile]:
    """Those that Go brings."""
    return [tool for tool in wanted if isinstance(tool, Program | ModuleFile)]


def announce_go(cache: Cache, go: Go, missing: Sequence[Tool]) -> None:
    """Say what was found, and warn when the disk may not do."""
    print(f"Go is {go.version} (GOTOOLCHAIN={go.toolchain}). Its caches:")
    for folder in (go.modules, go.compiled):
        print(f"  {folder}")
    needed = sum(tool.megabytes for tool in missing) * 1_000_000
    for folder in (cache.folder, go.modules, go.compiled):
        if (free := shutil.disk_usage(existing(folder)).free) < needed:
            print(f"  {folder} has only {free / 1e9:.1f} GB free: it may not do.")
    print(flush=True)


def bring(cache: Cache, go: Go | None, tool: Tool) -> None:
    """Make one and put it in place. Raises ToolsError, and then leaves all as it was."""
    title = f"{tool.name} {tool.version}"
    if go is not None and not isinstance(tool, Packages):
        go.refuse_if_too_old(tool)
    if isinstance(tool, Packages) and shutil.which("npm") is None:
        raise ToolsError(f"{title} needs npm, and there is none on PATH: install Node.js.")
    log_path = cache.log(tool)
    log_path.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(
        prefix=WORKSPACE, dir=cache.folder, ignore_cleanup_errors=True
    ) as name:
        environment = {**(go.environment if go else os.environ), "GOBIN": name, "GOTMPDIR": name}
        for number, command in enumerate(tool.commands(Path(name))):
            with log_path.open("a" if number else "w") as log:
                log.write(f"$ {shlex.join(command)}\n")
                log.flush()
                status = run(command, Path(name), environment, log)
            if status != 0:
                raise ToolsError(failed(f"{title} could not be built", command, status, log_path))
        made = tool.made(Path(name))
        tool.check(made)
        cache.install(tool, made)


def run(command: Sequence[str], folder: Path, environment: Mapping[str, str], log: IO[str]) -> int:
    """Run one command to its end. Whatever ends the wait ends also what the command started."""
    process = subprocess.Popen(
        command, cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True
    )
    try:
        return process.wait()
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise


def failed(what: str, command: Sequence[str], status: int, log_path: Path) -> str:
    """What to tell about a command that failed: its last lines, and the cure where it is known."""
    printed = log_path.read_text(errors="replace")
    said = [line for line in printed.splitlines() if not line.startswith("$ ")]
    lines = [
        f"{what}. The command ended with status {status}:",
        f"    {shlex.join(command)}",
        "and said in the end:",
        *(f"    {line}" for line in said[-LAST_LINES:]),
        f"All that it said is in {log_path}",
    ]
    if "no space left on device" in printed.lower():
        lines.append(
            "The disk is full. `go clean -cache` removes what Go can compile again; GOCACHE,"
            " GOMODCACHE and GLUELLM_E2E_TOOLS can name folders elsewhere."
        )
    return "\n".join(lines)


def bring_all(cache: Cache, wanted: Sequence[Tool], environment: Mapping[str, str]) -> int:
    """Make what isn't there. Returns the exit status."""
    missing = [tool for tool in wanted if cache.state(tool) != "there"]
    if not missing:
        print(f"All there, in {cache.folder}")
        return 0
    announce(cache, missing)
    cache.folder.mkdir(parents=True, exist_ok=True)
    go = None
    if built := from_go(missing):
        go = Go.find(environment, cache.folder, built)
        announce_go(cache, go, missing)
    without = []
    with cache.locked():
        for tool in missing:
            if cache.state(tool) == "there":  # by the run that this one waited for
                continue
            print(f"{tool.name} {tool.version} ...", flush=True)
            started = time.monotonic()
            try:
                bring(cache, go, tool)
            except (ToolsError, OSError) as error:
                print(f"{error}\n", file=sys.stderr, flush=True)
                without.append(tool.name)
            else:
                print(f"    built in {time.monotonic() - started:.0f} s", flush=True)
    if without:
        print(f"Not there as pinned: {', '.join(without)}", file=sys.stderr)
        return 1
    print(f"All there, in {cache.folder}")
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status."""
    pinned = {tool.name: tool for tool in tools()}
    parser = argparse.ArgumentParser(
        prog="make e2e-tools",
        description=about,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog='With make, options go into ARGS: make e2e-tools ARGS="--list"',
    )
    parser.add_argument("--list", action="store_true", help="say what is there, and do nothing")
    parser.add_argument(
        "--only", metavar="NAME", choices=pinned, help=f"one of them: {', '.join(pinned)}"
    )
    chosen = parser.parse_args(arguments)
    wanted = [pinned[chosen.only]] if chosen.only else list(pinned.values())
    # A run that is told to end takes what it started with it, and removes what it began.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        cache = Cache(cache_folder(os.environ))
        if chosen.list:
            for tool in wanted:
                print(listed(cache, tool))
            return 0
        return bring_all(cache, wanted, os.environ)
    except (ToolsError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped. What was not finished is removed.", file=sys.stderr)
        return 128 + signal.SIGINT


if __name__ == "__main__":
    sys.exit(main())
