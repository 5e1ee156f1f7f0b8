"""Ends with an idle connection in a pool that is still there. Argument: a server's URL.

Prints the reasons to close connections, and how many were closed for each.
"""

import atexit
import sys

import urllib3

from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.installation import instrument
from support.telemetry import Telemetry

telemetry = Telemetry()
# Before there is a pool: what is registered last runs first, and urllib3's finalizers with it.
atexit.register(lambda: print(telemetry.by(semconv.CONNECTION_CLOSED, "reason")))
instrument(telemetry)
manager = urllib3.PoolManager()
assert manager.request("GET", sys.argv[1]).data == b"ok"
