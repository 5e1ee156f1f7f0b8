"""The WSGI example, served by threads."""

import runpy
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

_EXAMPLE = Path(__file__).parents[3] / "docs" / "examples" / "wsgi_app.py"
_THREADS = 8


def test_threads_that_call_at_once_share_one_client(monkeypatch):
    """Each further client would have a pool with its own limits."""
    monkeypatch.setenv("OPENAI_API_KEY", "any")
    llm = runpy.run_path(str(_EXAMPLE))["llm"]
    together = threading.Barrier(_THREADS)

    def first_call(_: int) -> object:
        together.wait(timeout=30)
        return llm()

    with ThreadPoolExecutor(_THREADS) as threads:
        clients = list(threads.map(first_call, range(_THREADS)))
    assert len({id(client) for client in clients}) == 1
