"""Makes requests of every kind with a changed copy of urllib3, and tells what was observed.

Argument: a server's URL. Prints JSON.
"""

from __future__ import annotations

import sys
import threading
import time
from typing import Any

import urllib3
from telling import Observed

(url,) = sys.argv[1:]
observed = Observed("urllib3")
results, collect = observed.results, observed.collect


def attempt(send: Any) -> None:
    """A request, whatever comes of it."""
    try:
        response = send()
        response.read()
        response.release_conn()
        results.append(str(response.status))
    except Exception as error:
        results.append(type(error).__name__)


manager = urllib3.PoolManager(maxsize=1, block=True)
attempt(lambda: manager.request("GET", url, preload_content=False))
attempt(lambda: manager.request("GET", url))
held = manager.request("GET", url, preload_content=False)
attempt(lambda: manager.urlopen("GET", url, pool_timeout=0.01, retries=False))
waiting = threading.Thread(target=attempt, args=(lambda: manager.request("GET", url),))
waiting.start()
time.sleep(0.02)
collect()
held.read()
held.release_conn()
waiting.join(10)
dropped = manager.request("GET", url, preload_content=False)
dropped.close()
dropped.release_conn()
del dropped
manager.clear()
attempt(lambda: urllib3.PoolManager().request("GET", "http://127.0.0.1:9", retries=False))
through = urllib3.ProxyManager("http://127.0.0.1:9")
attempt(lambda: through.request("GET", "https://api.test/", retries=False))
observed.tell()
