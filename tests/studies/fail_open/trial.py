"""One break in one process: requests without the instrumentation, with it, and without it again."""

import contextlib
import faulthandler
import gc
import importlib
import io
import logging
import os
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from gluellm_diagnosis.diagnose import diagnose
from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor
from opentelemetry.instrumentation.gluellm.instrumentor import snapshot
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.installation import installed, instrument
from support.telemetry import Telemetry

from . import releases, runtime, seen
from .sending import Servers, send

LIBRARIES = {"httpcore": "httpx", "httpcore2": "httpx2"}
"""The value of ``gluellm.pool.library`` where it differs from the package's name."""
PATIENCE = 30
"""Seconds that a trial may take."""
_STUCK = 6
"""Further seconds until the process of a trial that Python can't interrupt dumps its stacks and
exits."""


@dataclass(frozen=True, slots=True)
class Break:
    """What is changed in a library."""

    library: str
    kind: str
    """Kind of change: ``method`` (in the source), ``attribute`` (as the package reads it),
    ``class`` (by its name in a module), ``module``, ``runtime``, ``none``."""
    name: str
    how: str

    def __str__(self) -> str:
        return f"{self.library}: {self.name} {self.how}"


class Hangs(KeyboardInterrupt):
    """A trial takes too long."""


@dataclass(slots=True)
class Outcome:
    """What was observed in a trial."""

    applicable: bool = True
    reads: int = 0
    """How often the package read a changed attribute."""
    without: list[str] = field(default_factory=list)
    observed: list[str] = field(default_factory=list)
    afterwards: list[str] = field(default_factory=list)
    off: list[str] = field(default_factory=list)
    """Hooks that are off."""
    errors: dict[str, int] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    stderr: str = ""
    noisy: bool = False
    """Whether something was on stderr without the instrumentation."""
    requests: float = 0
    for_ever: dict[str, float] = field(default_factory=dict)
    """Values at the end that should be 0, by their description."""
    left: list[str] = field(default_factory=list)
    """What was not restored."""
    failed: str = ""
    """The traceback of a trial that crashed or hung."""
    tries: int = 1


class _Keeping(logging.Handler):
    def __init__(self, logger: str) -> None:
        super().__init__(level=logging.WARNING)
        self.messages: list[str] = []
        logging.getLogger(logger).addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        stack = traceback.format_exception(*record.exc_info) if record.exc_info else ()
        self.messages.append("\n".join([record.getMessage(), *stack]))


def attributes_of(package: str) -> dict[str, Any]:
    """Every attribute of every class of a package, without the instrumentation's own."""
    return {
        f"{module_name}.{name}.{key}": value
        for module_name, module in sorted(sys.modules.items())
        if module_name.partition(".")[0] == package
        for name, owner in sorted(vars(module).items())
        if isinstance(owner, type) and owner.__module__ == module_name
        for key, value in vars(owner).items()
        if not key.startswith(("_gluellm", "__dict", "__weak", "_abc", "__abstract"))
    }


def apply(what: Break) -> Callable[[], int]:
    """Change the library. Return a function that counts the package's reads of the change."""
    package = what.library
    if what.kind == "method":
        releases.release(package, what.how, what.name)
    try:
        importlib.import_module(package)
    except Exception:
        if what.kind != "method":
            raise
        raise releases.NotApplicable from None  # the library itself fails with this change
    if package.startswith("httpcore"):
        for inside in ("_async", "_sync"):
            importlib.import_module(f"{package}.{inside}.http2")
    if package == "grpc":
        importlib.import_module("grpc.aio")
    if what.kind == "module":
        releases.lose(what.name, what.how)
    if what.kind == "attribute":
        placed = seen.see(package, what.name, what.how)
        if not placed:
            raise releases.NotApplicable
        return lambda: sum(descriptor.reads for descriptor in placed)
    if what.kind == "class":
        module, _, name = what.name.rpartition(".")
        seen.see_name(module, name, what.how)
    if what.kind == "runtime":
        runtime.change(*what.name.split(":"), what.how)
    return lambda: 0


def child(what: Break, servers: Servers, out: Any) -> None:
    """Try one break in this process, and send the outcome."""
    os.environ["AIOHTTP_NO_EXTENSIONS"] = "1"
    os.environ["SSL_CERT_FILE"] = os.devnull  # aiohttp reads it whenever it is imported
    os.environ["GRPC_VERBOSITY"] = "NONE"
    gc.freeze()  # the collections of a trial ignore what was imported before it
    signal.signal(signal.SIGALRM, _hangs)
    # Repeated, because an event loop may consume the first signal.
    signal.setitimer(signal.ITIMER_REAL, PATIENCE, 1.0)
    faulthandler.dump_traceback_later(PATIENCE + _STUCK, exit=True)
    outcome = run(what, servers)
    signal.setitimer(signal.ITIMER_REAL, 0)
    out.send(outcome)
    os._exit(0)


def _hangs(*_: Any) -> None:
    raise Hangs


def run(what: Break, servers: Servers) -> Outcome:
    """Try one break."""
    outcome = Outcome()
    stderr = io.StringIO()
    with contextlib.redirect_stderr(stderr):
        try:
            _run(what, servers, outcome)
        except releases.NotApplicable:
            outcome.applicable = False
        except Hangs:
            signal.setitimer(signal.ITIMER_REAL, 0)  # no second one while this is recorded
            # If requests hang without the instrumentation as well, the change makes no sense.
            outcome.applicable = bool(outcome.without)
            outcome.failed = "hangs:\n" + traceback.format_exc()
        except BaseException:
            outcome.failed = traceback.format_exc()
    outcome.stderr = stderr.getvalue()
    return outcome


def _run(what: Break, servers: Servers, outcome: Outcome) -> None:
    warnings.simplefilter("ignore")
    reads = apply(what)
    outcome.without = send(what.library, servers)
    gc.collect()
    outcome.noisy = bool(sys.stderr.getvalue())  # type: ignore[attr-defined]
    kept, asyncio_log = _Keeping("opentelemetry"), _Keeping("asyncio")
    before = attributes_of(what.library)
    telemetry = Telemetry()
    instrument(telemetry, metrics="full")
    if what.how == runtime.REPLACED:
        module, owner, name = what.name.split(":")
        runtime.replace(module, owner, name)
        # A package may have its classes in other modules as well.
        for key in [key for key in before if key.endswith(f"{owner}.{name}")]:
            del before[key]

    def look() -> None:
        telemetry.collect()
        first = snapshot()
        diagnose(first, snapshot())
        str(first)

    outcome.observed = send(what.library, servers, look)
    gc.collect()
    telemetry.collect()
    telemetry.collect()
    read = telemetry.now()
    library = LIBRARIES.get(what.library, what.library)
    missing = [hook.partition(": ") for hook in snapshot().process.missing_hooks]
    outcome.off = sorted(hook for of, _, hook in missing if of == library)
    outcome.errors = {
        point.attributes["gluellm.instrumentation.kind"]: point.value
        for point in read.points(semconv.INSTRUMENTATION_ERRORS)
    }
    outcome.requests = read.value(semconv.REQUESTS)
    ledgers = installed().registry.ledgers.pools.values()
    outcome.for_ever = {
        "requests are in flight": read.value(semconv.ACTIVE_REQUESTS),
        "requests queue": sum(ledger.queued.value for ledger in ledgers),
        "pools live": read.value(semconv.POOL_LIVE),
    }
    outcome.reads = reads()
    GlueLLMInstrumentor().uninstrument()
    after = attributes_of(what.library)
    outcome.left = [key for key in before if key in after and after[key] is not before[key]]
    if what.kind != "none":
        outcome.afterwards = send(what.library, servers)
    names = [thread.name for thread in threading.enumerate()]
    outcome.left += [name for name in names if name.startswith("gluellm")]
    # Warnings about the application don't count.
    outcome.warnings = [m for m in kept.messages if not m.startswith("A client of pool")]
    # From asyncio's log, only what mentions the package.
    outcome.warnings += [m for m in asyncio_log.messages if "gluellm" in m]
