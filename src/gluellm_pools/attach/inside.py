"""Program that runs in a thread of a process that is looked into. Its source is sent there.

It imports the standard library only, until the process is to be instrumented. ``SETTINGS`` is set
by `sending`. Everything else is local, so nothing stays after it but what `observe` imports.
"""

from __future__ import annotations

import _thread
import contextlib
import gc
import importlib
import importlib.util
import json
import socket
import sys
import time
import types
import weakref
from pathlib import Path
from typing import Any

SETTINGS: dict[str, Any] = globals().setdefault("SETTINGS", {})
PACKAGE = "opentelemetry.instrumentation.gluellm"
NEEDED = ("opentelemetry.instrumentation.instrumentor", "wrapt")
MOST_OBJECTS, LONGEST = 1_000_000, 2.0
CHECKED_EVERY, MOST_FRAMES, MOST_HELD = 1024, 500, 10_000
SUSPENDED = {
    types.GeneratorType: ("gi_frame", "gi_yieldfrom", "gi_suspended"),
    types.AsyncGeneratorType: ("ag_frame", "ag_await", "ag_suspended"),
    types.CoroutineType: ("cr_frame", "cr_await", "cr_suspended"),
}
CONTAINERS = {list, tuple, dict, set, types.CellType, *list(SUSPENDED)[:2]}
_NAMES = "Stream AsyncStream MessageStream AsyncMessageStream Response ClientResponse HTTPResponse"
ANSWERS = tuple(_NAMES.split())
SDKS = ("openai", "anthropic", "httpx", "httpx2", "aiohttp", "requests", "urllib3")
INSTALLED, STANDARD = "-packages/", ("/lib/python3.", "<")
POLL = 0.1


def look_and_observe() -> None:
    """Write what the pools list and, after the period, the snapshot of an observation."""
    write("began", {})
    step = "look"
    try:
        content, pools = look()
        content["threads"] = threads()
        write(step, content)
        step = "end"
        if SETTINGS["period"]:
            write(step, observe(pools))
    except BaseException as error:  # whatever it is, it must end here
        write(step, {"error": f"{type(error).__name__}: {error}"})


def write(name: str, content: dict[str, Any]) -> None:
    """Write an answer, which is complete once it has its name."""
    path = Path(SETTINGS["directory"], name)
    part = path.with_suffix(".part")
    with contextlib.suppress(OSError):  # the command has given up
        part.write_text(json.dumps(content), encoding="utf-8")
        part.replace(path)


def look() -> tuple[dict[str, Any], list[tuple[str, Any, dict[str, Any]]]]:
    """Return what all pools list, and the pools. Reads, and changes nothing."""
    kinds: dict[type, tuple[str, Any]] = {}
    clients: dict[type, Any] = {}
    for source in SETTINGS["listings"]:
        listing: dict[str, Any] = {"__name__": "gluellm_listing"}
        exec(source, listing)
        for module, library in listing["POOLS"].items():
            for kind in classes(module, listing["CLASSES"]):
                kinds.setdefault(kind, (library, listing["listed"]))
        for module, names in listing["CLIENTS"].items():
            clients |= dict.fromkeys(classes(module, names), listing["timeouts_of"])
    found, stopped = instances((*kinds, *clients, *SUSPENDED))
    listed, pools, failed = [], [], 0
    timeouts: dict[int, dict[str, Any]] = {}
    for base, one in found:
        with contextlib.suppress(Exception):  # closed meanwhile, or of an unknown version
            if base in clients:
                timeouts |= clients[base](one)
    for base, one in found:
        if base in kinds:
            library, read = kinds[base]
            try:
                # The timeouts of a request precede the timeouts of its client.
                own = {name: value for name, value in read(one).items() if value is not None}
                content = {"library": library, **timeouts.get(id(one), {}), **own}
            except Exception:
                failed += 1
                continue
            for connection in content["connections"]:
                held = connection["held_before"] is not None
                sock = connection.pop("socket")
                connection["tcp"] = tcp(sock) if held else None
            listed.append(content)
            pools.append((library, weakref.ref(one), content))
    return {
        "pools": listed,
        "failed": failed,
        "stopped": stopped,
        "suspended": suspended_at(found),
        "modules": [name for name in ("gluellm", "any_llm") if name in sys.modules],
        "instrumented": installation() is not None,
    }, pools


def classes(module: str, names: tuple[str, ...]) -> list[type]:
    """Return classes of a module that is loaded."""
    # Not getattr(): a lazy module would load what it lacks.
    loaded = getattr(sys.modules.get(module), "__dict__", {})
    return [loaded[name] for name in names if isinstance(loaded.get(name), type)]


def instances(bases: tuple[type, ...]) -> tuple[list[tuple[type, Any]], bool]:
    """Return the living instances, each with its base, and whether the search was cut short.

    Objects are asked for nothing, not even by `isinstance`: lazy modules answer by loading.
    """
    until = time.monotonic() + LONGEST
    base_of: dict[int, type | None] = {}
    found: list[tuple[type, Any]] = []
    if not bases:
        return found, False
    objects = gc.get_objects()
    for number, one in enumerate(objects):
        if number % CHECKED_EVERY == 0 and (number >= MOST_OBJECTS or time.monotonic() > until):
            return found, True
        kind = type(one)
        if id(kind) not in base_of:
            its = type.mro(kind) if kind is not type else ()
            base_of[id(kind)] = next((base for base in bases if base in its), None)
        base = base_of[id(kind)]
        if base is not None:
            found.append((base, one))
    return found, False


def suspended_at(found: list[tuple[type, Any]]) -> list[str]:
    """Return the lines at which a suspended function of the application keeps an answer unread."""
    answers = {kind for module in SDKS for kind in classes(module, ANSWERS)}
    until = time.monotonic() + LONGEST
    lines = set()
    for _, one in found:
        chain: list[tuple[Any, Any, str]] = []
        while type(one) in SUSPENDED and len(chain) < MOST_FRAMES and time.monotonic() < until:
            frame, awaited, suspended = (getattr(one, name) for name in SUSPENDED[type(one)])
            chain.append((one, frame, frame.f_code.co_filename if suspended else INSTALLED))
            one = awaited
        if not chain or any(INSTALLED in file for _, _, file in chain):  # a library reads
            continue
        first, frame, file = chain[0]
        if not any(part in file for part in STANDARD) and refers_to(first, answers):
            lines.add(f"{file}:{frame.f_lineno or 0} in {frame.f_code.co_name}")
    return sorted(lines)


def refers_to(one: Any, answers: set[type]) -> bool:
    """Return whether an object refers to an answer, directly or in containers."""
    level = [one]
    for _ in range(3):
        level = gc.get_referents(*level)[:MOST_HELD]
        if any(type(below) in answers for below in level):
            return True
        level = [below for below in level if type(below) in CONTAINERS]
    return False


def threads() -> list[tuple[int, list[tuple[str, int, str]]]]:
    """Return the stacks of the other threads, innermost frame first, by the system's number."""
    known = dict(getattr(sys.modules.get("threading"), "_active", {}))
    found = []
    frame: Any
    for ident, frame in sys._current_frames().items():
        frames: list[tuple[str, int, str]] = []
        while frame is not None and len(frames) < MOST_FRAMES:
            code = frame.f_code
            # The thread that has begun this program may not have left its script yet.
            if code.co_filename != SETTINGS["script"]:
                frames.append((code.co_filename, frame.f_lineno or 0, code.co_qualname))
            frame = frame.f_back
        if ident in known and ident != _thread.get_ident():
            found.append((known[ident]._native_id or 0, frames))
    return found


def tcp(sock: Any) -> dict[str, Any] | None:
    """Return ``TCP_INFO`` and SO_KEEPALIVE of a socket; None if it has none."""
    try:
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
        keepalive = sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        return {"info": info.hex(), "keepalive": bool(keepalive)}
    except Exception:
        return None


def installation() -> Any:
    """Return the installation that observes the process already; None if there is none."""
    module = sys.modules.get(f"{PACKAGE}.instrumentor")
    return module.GlueLLMInstrumentor._installation if module is not None else None


def observe(pools: list[tuple[str, Any, dict[str, Any]]]) -> dict[str, Any]:
    """Instrument the process for the period, and restore everything."""
    try:
        for name in NEEDED:
            importlib.import_module(name)
        metrics = importlib.import_module("opentelemetry.metrics")
        trace = importlib.import_module("opentelemetry.trace")
        load()
    except ImportError as error:
        return {"error": f"{error.name or error} can't be imported there"}
    attached = importlib.import_module(f"{PACKAGE}.attached")
    if installation() is not None:
        return {"error": "it is instrumented already"}
    # The process's own providers get nothing.
    providers = {
        "meter_provider": metrics.NoOpMeterProvider(),
        "tracer_provider": trace.NoOpTracerProvider(),
    }
    threshold = SETTINGS["leak_threshold"]
    with attached.attached(leak_threshold=threshold, **providers) as installed:
        until = time.monotonic() + SETTINGS["period"]
        # The command removes the file to end it earlier.
        while time.monotonic() < until and Path(SETTINGS["script"]).exists():
            time.sleep(POLL)
        # Pools that got no request in the period are not tracked yet.
        installed.track((name, pool, listed) for name, ref, listed in pools if (pool := ref()))
        installed.read_sockets()
        content = installed.snapshot().to_dict()
    return {"snapshot": content, "threads": threads()}


def load() -> None:
    """Load the package from the command's installation, unless the process has loaded it."""
    path = SETTINGS["package"]
    module = sys.modules.get(PACKAGE)
    if module is not None:
        if not Path(module.__path__[0]).is_dir():  # a copy for an earlier command
            module.__path__[:] = [path]
        return
    spec = importlib.util.spec_from_file_location(
        PACKAGE, Path(path, "__init__.py"), submodule_search_locations=[path]
    )
    if spec is None or spec.loader is None:
        raise ImportError(PACKAGE)
    sys.modules[PACKAGE] = module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[PACKAGE]
        raise


if __name__ == "gluellm_attached":
    look_and_observe()
