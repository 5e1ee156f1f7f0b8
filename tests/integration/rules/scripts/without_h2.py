"""Make requests without h2, which most programs don't install. Argument: a server's URL."""

import importlib
import logging
import sys

from opentelemetry.instrumentation.gluellm import snapshot
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.installation import instrument
from support.telemetry import Telemetry

logging.basicConfig(stream=sys.stdout)
sys.modules["h2"] = None  # type: ignore[assignment]  # makes its import fail
clients = [importlib.import_module(name) for name in ("httpx", "httpx2")]
importlib.import_module("httpcore")
importlib.import_module("httpcore2")
telemetry = Telemetry()
instrument(telemetry)
for library in clients:
    with library.Client(trust_env=False) as client:
        assert client.get(sys.argv[1]).status_code == 200
missing = {p.value for p in telemetry.points(semconv.HOOK_MISSING)}
print(telemetry.by(semconv.REQUESTS, "library"), missing, snapshot().process.missing_hooks)
