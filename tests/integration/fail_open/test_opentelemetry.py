"""OpenTelemetry with missing or changed names outside its API."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.http1 import HTTP1Server
from support.listener import ServerLoop

TESTS = Path(__file__).parents[2]
PROGRAM = """
import json, logging, sys
import opentelemetry.context, opentelemetry.trace.propagation, opentelemetry.metrics._internal
import opentelemetry.instrumentation.urllib3 as u
import wrapt
kept = []
class Keep(logging.Handler):
    def emit(self, record): kept.append(self.format(record))
logging.getLogger().addHandler(Keep(level=logging.WARNING))
def lose(module, *names, **values):
    from studies.fail_open.seen import Changed
    Changed.put(module, names, values)
def refuse(*_, **__): raise RuntimeError("anew")
{change}
import urllib3
from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
tracing = TracerProvider(shutdown_on_exit=False)
tracer = tracing.get_tracer("application")
reader = InMemoryMetricReader()
provider = MeterProvider(metric_readers=[reader], shutdown_on_exit=False)
def send():
    with tracer.start_as_current_span("of the application"):
        return [urllib3.PoolManager().request("GET", sys.argv[1]).status for _ in range(2)]
results = [send()]
GlueLLMInstrumentor().instrument(
    scope="all", http_spans={http_spans}, meter_provider=provider, tracer_provider=tracing)
results.append(send())
data = reader.get_metrics_data()
found = {{m.name: sum(getattr(p, "value", 0) for p in m.data.data_points)
    for r in (data.resource_metrics if data else ()) for s in r.scope_metrics for m in s.metrics}}
GlueLLMInstrumentor().uninstrument()
results.append(send())
print(json.dumps([results, found, kept]))
"""
_RUNTIME = """
class Runtime:
    def __init__(self, good): self.good, self._current_context = good, {variable}
    def __getattr__(self, name): return getattr(self.good, name)
class Variable:
    def get(self): raise RuntimeError("anew")
import opentelemetry.context as c
c._RUNTIME_CONTEXT = Runtime(c._RUNTIME_CONTEXT)
"""
_VERSIONS = """
import opentelemetry.sdk.metrics, opentelemetry.sdk.trace
import opentelemetry.instrumentation.gluellm.patching as p
p.version = {version}
"""
_CONTEXT, _PROPAGATION = "'opentelemetry.context'", "'opentelemetry.trace.propagation'"
CHANGES = {
    "no _SUPPRESS_INSTRUMENTATION_KEY": f"lose({_CONTEXT}, '_SUPPRESS_INSTRUMENTATION_KEY')",
    "an odd _SUPPRESS_INSTRUMENTATION_KEY": f"lose({_CONTEXT}, _SUPPRESS_INSTRUMENTATION_KEY=[])",
    "no _SPAN_KEY": f"lose({_PROPAGATION}, '_SPAN_KEY')",
    "another _SPAN_KEY": f"lose({_PROPAGATION}, _SPAN_KEY='anew')",
    "an odd _SPAN_KEY": f"lose({_PROPAGATION}, _SPAN_KEY=[1])",
    "no _RUNTIME_CONTEXT": f"lose({_CONTEXT}, '_RUNTIME_CONTEXT')",
    "another runtime context": _RUNTIME.format(variable=7),
    "a runtime context whose variable refuses": _RUNTIME.format(variable="Variable()"),
    "a meter that has an odd _real_meter": (
        "import opentelemetry.sdk.metrics as m; m.Meter._real_meter = 7"
    ),
    "an import hook that raises": "wrapt.register_post_import_hook = refuse",
    "no import hook": "del wrapt.register_post_import_hook",
    "no versions of what is installed": _VERSIONS.format(version="refuse"),
    "nonsense for a version": _VERSIONS.format(version="lambda name: None"),
}
"""Code that runs before the package is imported."""
FAILURES = {"an odd _SPAN_KEY": 2, "a runtime context whose variable refuses": 2}
"""Number of kinds of own failures. The other changes cause none."""
WARNED = ("an import hook that raises", "no import hook")
"""Changes that cause a warning instead."""


# One process imports the modules and forks for each program, which is three times as fast.
FORKING = """
import json, os, sys, tempfile, traceback
import urllib3, wrapt, studies.fail_open.seen
import opentelemetry.sdk.metrics.export, opentelemetry.sdk.trace
import opentelemetry.instrumentation.urllib3, opentelemetry.instrumentation.instrumentor
import opentelemetry.instrumentation.httpx, opentelemetry.instrumentation.aiohttp_client
import opentelemetry.instrumentation.grpc, httpx2, httpcore, httpcore2
for program in json.load(sys.stdin):
    out = tempfile.TemporaryFile("w+")
    pid = os.fork()
    if not pid:
        for number in (1, 2):
            os.dup2(out.fileno(), number)
        try:
            exec(compile(program, "program", "exec"), {"__name__": "__main__"})
        except BaseException:
            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)
    os.waitpid(pid, 0)
    out.seek(0)
    print(json.dumps(out.read()), flush=True)
"""
Found = tuple[list[object], dict[str, float], list[str]]


def _all(changes: dict[str, str], url: str, *, http_spans: bool) -> dict[str, Found]:
    programs = [PROGRAM.format(change=text, http_spans=http_spans) for text in changes.values()]
    finished = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORKING, url],
        env={**os.environ, "PYTHONPATH": str(TESTS)},
        input=json.dumps(programs),
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    printed = [json.loads(line) for line in finished.stdout.splitlines()]
    for name, text in zip(changes, printed, strict=True):
        assert "Traceback" not in text, f"{name}: {text}"
    return {
        name: json.loads(text.splitlines()[-1]) for name, text in zip(changes, printed, strict=True)
    }


@pytest.fixture(scope="module")
def url(servers: ServerLoop) -> Iterator[str]:
    """URL of a server for all programs."""
    server = HTTP1Server(servers)
    yield server.url()
    server.close()


@pytest.fixture(scope="module")
def changed(url: str) -> dict[str, Found]:
    """Results for each change of OpenTelemetry."""
    return _all(CHANGES, url, http_spans=False)


@pytest.fixture(scope="module")
def beside(url: str) -> dict[str, Found]:
    """Results for each change of another instrumentation."""
    return _all(HTTP_SPANS, url, http_spans=True)


@pytest.mark.parametrize("change", CHANGES)
def test_requests_succeed_with_a_changed_opentelemetry(change, changed):
    """Each loss is logged once. ``instrument()`` does not raise."""
    results, found, kept = changed[change]
    assert results == [[200, 200]] * 3
    assert [warning for warning in kept if "Traceback" in warning] == []
    if change in WARNED:
        # httpcore and httpcore2 both register import hooks for anyio's and trio's resolvers.
        assert 1 <= len(kept) <= len(set(kept)) + 2
    else:
        assert found["gluellm.pool.requests"] == 2
        assert len(kept) == FAILURES.get(change, 0)
        assert ("gluellm.instrumentation.errors" in found) == (change in FAILURES)


_IMPORT = """
import importlib
before = importlib.import_module
def changed(name, *rest):
    if name == "opentelemetry.instrumentation.urllib3": raise RuntimeError("odd")
    return before(name, *rest)
importlib.import_module = changed
"""
HTTP_SPANS = {
    "a package that raises when it is imported": _IMPORT,
    "an instrumentor that raises": "u.URLLib3Instrumentor.instrument = refuse",
    "an instrumentor that can't be made": "u.URLLib3Instrumentor = refuse",
    "an instrumentor that can't be taken back": "u.URLLib3Instrumentor.uninstrument = refuse",
    "an instrumentor that does not say what it is": (
        "u.URLLib3Instrumentor.is_instrumented_by_opentelemetry = property(refuse)"
    ),
    "a library whose specification is odd": (
        "import types; sys.modules['aiohttp'] = types.ModuleType('aiohttp')"
    ),
    "an instrumentor that is not there": "del u.URLLib3Instrumentor",
}


@pytest.mark.parametrize("change", HTTP_SPANS)
def test_changed_http_instrumentation_is_a_warning(change, beside):
    """``http_spans`` logs warnings. Everything else works."""
    results, found, kept = beside[change]
    assert results == [[200, 200]] * 3
    assert found["gluellm.pool.requests"] == 2
    assert [warning for warning in kept if "Traceback" in warning] == []
    kept = [warning for warning in kept if "lacks the hook" not in warning]
    assert len(kept) == len(set(kept)) <= 3
