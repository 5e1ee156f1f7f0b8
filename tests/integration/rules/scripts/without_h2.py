"""Makes requests where h2 is not installed, as in most programs. Prints JSON.

Argument: the URL of a server.
"""

from __future__ import annotations

import importlib
import sys

from telling import Observed

sys.modules["h2"] = None  # type: ignore[assignment]  # to imports, as if it were not there
libraries = [importlib.import_module(name) for name in ("httpx", "httpx2")]
for name in ("httpcore", "httpcore2"):
    importlib.import_module(name)
observed = Observed("httpx")
for library in libraries:
    with library.Client(trust_env=False) as client:
        observed.results.append(str(client.get(sys.argv[1]).status_code))
observed.tell()
