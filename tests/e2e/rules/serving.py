"""Both ends of the alerts' way, on loopback: a page to be scraped, and who is notified."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from ..running import HOST

_METRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
Answer = Callable[[bytes], str]
"""What to say to a request's body."""


@contextmanager
def serving(answer: Answer, content_type: str = _METRICS) -> Iterator[int]:
    """A server that answers every request so; yields its port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            body = answer(self.rfile.read(length)).encode()
            self.send_response(200)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer((HOST, 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Notified:
    """What Alertmanager's webhook told."""

    def __init__(self) -> None:
        self._notifications: list[dict[str, Any]] = []

    def take(self, body: bytes) -> str:
        """One notification."""
        self._notifications.append(json.loads(body))
        return ""

    @property
    def alerts(self) -> list[dict[str, Any]]:
        """The alerts that were told of, each with the ``receiver`` that it went to."""
        return [
            {**alert, "receiver": notification["receiver"]}
            for notification in list(self._notifications)
            for alert in notification["alerts"]
        ]
