"""Starts a process for each trial, from one that has imported what all of them need but no library.

It forks: a process takes a tenth of a second then, and not a whole one. Reads trials from stdin, a
line of JSON each, and writes what came of them to stdout, a line each, in the order of their ends.
"""

from __future__ import annotations

import faulthandler
import gc
import importlib
import json
import os
import selectors
import signal
import sys
import time
from typing import Any

from .sending import Servers
from .trial import Break, Hangs, Outcome, run

PATIENCE = 30
"""Seconds that a trial may take: then it hangs, and tells where it does."""
_STUCK = 6
"""Seconds more, for one that Python can't interrupt: then its process tells, and ends."""
_GONE = 12
"""Seconds more, for one that even that can't end."""


_NEEDED = """aiohappyeyeballs aiosignal anyio attr certifi email.headerregistry email.parser
    h2.connection h11 http.cookies opentelemetry.instrumentation.gluellm.diagnosis.diagnose
    opentelemetry.sdk.metrics.export opentelemetry.sdk.trace pickle socksio trio urllib.request
    yarl"""
"""What libraries and trials import, but no library."""


def _warm_up() -> None:
    for module in _NEEDED.split():
        importlib.import_module(module)
    for library in ("httpcore", "httpcore2", "aiohttp", "urllib3", "grpc"):
        assert library not in sys.modules, library
    gc.freeze()  # the collections of each trial pass over all of this


def _hangs(*_: Any) -> None:
    raise Hangs


def _child(what: Break, servers: Servers, out: int) -> None:
    try:
        signal.signal(signal.SIGALRM, _hangs)
        # Again and again: an event loop may take the first one for its own.
        signal.setitimer(signal.ITIMER_REAL, PATIENCE, 1.0)
        faulthandler.dump_traceback_later(PATIENCE + _STUCK, exit=True, file=out)
        outcome = run(what, servers)
    except BaseException as error:
        outcome = Outcome(failed=repr(error))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0)
        faulthandler.cancel_dump_traceback_later()
        text = outcome.as_json().encode()
        while text:
            text = text[os.write(out, text) :]
    finally:
        os._exit(0)


def _outcome_in(text: bytes, status: int) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(text)
    except ValueError:
        how = "hangs" if text or status == signal.SIGKILL else f"ended with status {status}"
        found = json.loads(Outcome(failed=f"{how}:\n{text.decode(errors='replace')}").as_json())
    return found


def main(at_once: int) -> None:
    """Try what stdin names."""
    os.environ["AIOHTTP_NO_EXTENSIONS"] = "1"
    os.environ["SSL_CERT_FILE"] = os.devnull  # aiohttp reads it whenever it is imported
    os.environ["GRPC_VERBOSITY"] = "NONE"
    _warm_up()
    servers = Servers(**json.loads(sys.stdin.readline()))
    todo = [json.loads(line) for line in sys.stdin]
    todo.reverse()
    selector = selectors.DefaultSelector()
    running: dict[int, tuple[int, Any, list[bytes], float]] = {}
    while todo or running:
        while todo and len(running) < at_once:
            what = todo.pop()
            ours, its = os.pipe()
            pid = os.fork()
            if not pid:
                os.close(ours)
                _child(Break(**what), servers, its)
            os.close(its)
            selector.register(ours, selectors.EVENT_READ)
            running[ours] = (pid, what, [], time.monotonic())
        for pid, _, _, began in running.values():
            if time.monotonic() - began > PATIENCE + _GONE:
                os.kill(pid, signal.SIGKILL)
        for key, _ in selector.select(1):
            pid, what, parts, _ = running[key.fd]
            part = os.read(key.fd, 65536)
            if part:
                parts.append(part)
                continue
            selector.unregister(key.fd)
            os.close(key.fd)
            del running[key.fd]
            _, status = os.waitpid(pid, 0)
            found = _outcome_in(b"".join(parts), status)
            print(json.dumps({"break": what, "outcome": found}), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
