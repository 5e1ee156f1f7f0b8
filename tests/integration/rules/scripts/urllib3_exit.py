"""End with an idle connection in a live pool. Argument: a server's URL.

Prints the number of closed connections by reason.
"""

import atexit
import sys

import urllib3

from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.installation import instrument
from support.telemetry import Telemetry

telemetry = Telemetry()
# Register this before there is a pool, so that it runs after urllib3's finalizers.
atexit.register(lambda: print(telemetry.by(semconv.CONNECTION_CLOSED, "reason")))
instrument(telemetry)
manager = urllib3.PoolManager()
assert manager.request("GET", sys.argv[1]).data == b"ok"
