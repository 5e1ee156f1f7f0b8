"""One break, tried in a process: the same requests without us, with us, without us again."""

from __future__ import annotations

import contextlib
import gc
import importlib
import io
import json
import logging
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from . import releases, seen
from .sending import SENDERS, Servers

LIBRARIES = {"httpcore": "httpx", "httpcore2": "httpx2"}
"""The value of ``gluellm.pool.library`` where it is another name."""


@dataclass(frozen=True, slots=True)
class Break:
    """What is changed in a library."""

    library: str
    kind: str
    """Of what sort the change is: ``method`` (in the source), ``attribute`` (as we see it),
    ``class`` (by its name in a module), ``module``, ``function``, ``runtime``, ``none``."""
    name: str
    how: str

    def __str__(self) -> str:
        return f"{self.library}: {self.name} {self.how}"


class Hangs(KeyboardInterrupt):
    """A trial takes too long."""


@dataclass(slots=True)
class Outcome:
    """What a trial told."""

    applicable: bool = True
    reads: int = 0
    """How often we read what was changed, where that can be told."""
    without: list[str] = field(default_factory=list)
    observed: list[str] = field(default_factory=list)
    afterwards: list[str] = field(default_factory=list)
    off: list[str] = field(default_factory=list)
    """Seams that are off."""
    errors: dict[str, int] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    stderr: str = ""
    noisy: bool = False
    """Whether there was something on stderr without us."""
    requests: float = 0
    active: float = 0
    standing: float = 0
    live: float = 0
    left: list[str] = field(default_factory=list)
    """What was not put back."""
    failed: str = ""
    """The traceback of a trial that came to no end."""
    tries: int = 1
    """How often it was tried: twice where something did not hold at first."""

    def as_json(self) -> str:
        return json.dumps(asdict(self))


class _Keeping(logging.Handler):
    def __init__(self) -> None:
        super().__init__(level=logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        told = record.getMessage()
        if record.exc_info:
            told += "\n" + "".join(traceback.format_exception(*record.exc_info))
        self.messages.append(told)


def attributes_of(package: str) -> dict[str, Any]:
    """Every attribute of every class of a package, less our inert defaults."""
    found: dict[str, Any] = {}
    for module_name, module in sorted(sys.modules.items()):
        if module_name.partition(".")[0] != package:
            continue
        for name, owner in sorted(vars(module).items()):
            if isinstance(owner, type) and owner.__module__ == module_name:
                for key, value in vars(owner).items():
                    if not key.startswith(("_gluellm", "__dict", "__weak", "_abc", "__abstract")):
                        found[f"{module_name}.{name}.{key}"] = value
    return found


def apply(what: Break) -> Callable[[], int]:
    """Change the library; gives how often we read what was changed."""
    package = what.library
    if what.kind == "method":
        releases.release(package, what.how, what.name)
    try:
        importlib.import_module(package)
    except Exception:
        if what.kind != "method":
            raise
        raise releases.NotApplicable from None  # this change is more than the library bears
    if package.startswith("httpcore"):
        for inside in ("_async", "_sync"):
            importlib.import_module(f"{package}.{inside}.http2")
    if package == "grpc":
        importlib.import_module("grpc.aio")
    if what.kind == "module":
        releases.lose(what.name, what.how)
    if what.kind == "function":
        return seen.see_function(what.name, what.how)
    if what.kind == "attribute":
        inside, _, name = what.name.rpartition(":")
        placed = seen.see(inside or package, name, what.how)
        if not placed:
            raise releases.NotApplicable
        return lambda: sum(descriptor.reads for descriptor in placed)
    if what.kind == "class":
        module, _, name = what.name.rpartition(".")
        seen.see_name(module, name, what.how)
    if what.kind == "runtime":
        from . import runtime

        module, owner, name = what.name.split(":")
        runtime.change(module, owner, name, what.how)
    return lambda: 0


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
            signal.setitimer(signal.ITIMER_REAL, 0)  # or the next comes while this is told
            # Without us too: then the change makes no sense.
            outcome.applicable = bool(outcome.without)
            outcome.failed = "hangs:\n" + traceback.format_exc()
        except BaseException:
            outcome.failed = traceback.format_exc()
    outcome.stderr = stderr.getvalue()
    return outcome


def _run(what: Break, servers: Servers, outcome: Outcome) -> None:
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader
    from opentelemetry.sdk.trace import TracerProvider

    from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor
    from opentelemetry.instrumentation.gluellm.diagnosis.diagnose import diagnose
    from opentelemetry.instrumentation.gluellm.instrumentor import snapshot

    warnings.simplefilter("ignore")
    reads = apply(what)
    send = SENDERS[what.library]
    nothing: Callable[[], None] = lambda: None  # noqa: E731
    outcome.without = send(what.library, servers, nothing)
    gc.collect()
    outcome.noisy = bool(sys.stderr.getvalue())  # type: ignore[attr-defined]
    kept = _Keeping()
    logger = logging.getLogger("opentelemetry")
    logger.addHandler(kept)
    asyncio_log = _Keeping()
    logging.getLogger("asyncio").addHandler(asyncio_log)
    before = attributes_of(what.library)
    reader = InMemoryMetricReader()
    provider = MeterProvider(metric_readers=[reader], shutdown_on_exit=False)
    GlueLLMInstrumentor().instrument(
        scope="all",
        metrics="full",
        meter_provider=provider,
        tracer_provider=TracerProvider(shutdown_on_exit=False),
    )
    if what.how == "replaced at run time":
        from . import runtime

        module, owner, name = what.name.split(":")
        runtime.replace(module, owner, name)
        # A package may show its classes under other modules too.
        for key in [key for key in before if key.endswith(f"{owner}.{name}")]:
            del before[key]

    def collect() -> dict[str, list[Any]]:
        data = reader.get_metrics_data()
        return {
            metric.name: list(metric.data.data_points)
            for resource in (data.resource_metrics if data else ())
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }

    def look() -> None:
        collect()
        first = snapshot()
        diagnose(first, snapshot())
        str(first)

    outcome.observed = send(what.library, servers, look)
    gc.collect()
    collect()
    collect()
    points = collect()
    library = LIBRARIES.get(what.library, what.library)
    outcome.off = sorted(
        point.attributes["gluellm.seam"]
        for point in points.get("gluellm.instrumentation.seam", ())
        if point.attributes["gluellm.pool.library"] == library and not point.value
    )
    outcome.errors = {
        point.attributes["gluellm.instrumentation.kind"]: point.value
        for point in points.get("gluellm.instrumentation.errors", ())
    }

    def total(name: str) -> float:
        return float(sum(point.value for point in points.get(name, ())))

    from opentelemetry.instrumentation.gluellm.telemetry import semconv

    outcome.requests = total(semconv.REQUESTS.name)
    outcome.active = total(semconv.ACTIVE_REQUESTS.name)
    outcome.live = total(semconv.POOL_LIVE.name)
    installation = GlueLLMInstrumentor._installation
    assert installation is not None
    outcome.standing = sum(ledger.queued.value for ledger in installation.registry.ledgers.values())
    if what.how != "replaced at run time":
        outcome.reads = reads()
    GlueLLMInstrumentor().uninstrument()
    after = {key: value for key, value in attributes_of(what.library).items() if key in before}
    outcome.left = [key for key in before if key in after and after[key] is not before[key]] + [
        key for key in after if key not in before
    ]
    if what.kind != "none":
        outcome.afterwards = send(what.library, servers, nothing)
    outcome.left += [
        thread.name for thread in threading.enumerate() if thread.name.startswith("gluellm")
    ]
    # What a loop has to say of us; the rest is between the library and the loop.
    outcome.warnings = kept.messages + [m for m in asyncio_log.messages if "gluellm" in m]
