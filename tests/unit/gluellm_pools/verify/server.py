"""An HTTP server with scripted answers, for answers that no real store gives."""

import contextlib
import http.server
import json
import threading
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

Answering = Callable[[http.server.BaseHTTPRequestHandler, str], None]


def answer(
    handler: http.server.BaseHTTPRequestHandler,
    body: str | bytes | dict[str, Any],
    status: int = 200,
    **headers: str,
) -> None:
    """Send a body: a dict as JSON, others as HTML unless a content type is given."""
    kind = "application/json" if isinstance(body, dict) else "text/html"
    data = json.dumps(body).encode() if isinstance(body, dict) else body
    data = data.encode() if isinstance(data, str) else data
    handler.send_response(status)
    for name, value in {"content_type": kind, "content_length": str(len(data)), **headers}.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(data)


@contextlib.contextmanager
def serving(answering: Answering, context: Any = None) -> Iterator[str]:
    """Serve until the block ends; yield the base URL."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            with contextlib.suppress(OSError):
                answering(self, urlsplit(self.path).path)

        do_POST = do_GET  # noqa: N815

        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        scheme = "http" if context is None else "https"
        yield f"{scheme}://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
