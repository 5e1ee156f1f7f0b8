"""The page that draws a board: bundled, served on loopback, photographed by Chromium."""

from __future__ import annotations

import http.server
import json
import mimetypes
import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

PAGE: Final = Path(__file__).parent / "page"
PACKAGES: Final = Path(__file__).parents[2] / ".cache" / "dashboard-preview"
"""Where `make dashboard-preview` installs package.json, and the bundle goes."""
ICONS: Final = PACKAGES / "node_modules/@grafana/ui/dist/public/img/icons"
_CHROMIUMS: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_PATIENCE: Final = 60.0
"""Seconds for one picture; it takes about 4."""
_FONTS: Final = {".woff": "empty", ".ttf": "empty", ".woff2": "dataurl"}
"""In the bundle as they are, of each the newest form, and none of the editor's icons."""


class DrawingError(Exception):
    """No picture could be made; the message says what to do."""


def chromium() -> str:
    """The browser: ``CHROMIUM``, or the first of its names on PATH. Raises DrawingError."""
    named = os.environ.get("CHROMIUM")
    for name in (named,) if named else _CHROMIUMS:
        found = shutil.which(name)
        if found:
            return found
    looked = f"CHROMIUM={named}" if named else f"{', '.join(_CHROMIUMS)} on PATH"
    raise DrawingError(
        f"No Chromium ({looked}). Install it (Debian, Ubuntu: apt-get install chromium), or name"
        " one with CHROMIUM=/path/to/chromium."
    )


def bundle() -> None:
    """Make one script of the page and its packages, unless it is there. Raises DrawingError."""
    esbuild = PACKAGES / "node_modules/.bin/esbuild"
    if not esbuild.exists():
        raise DrawingError(f"No npm packages in {PACKAGES}: run `make dashboard-preview`.")
    script = PACKAGES / "bundle/main.js"
    sources = [*PAGE.iterdir(), PACKAGES / ".installed", Path(__file__)]
    changed = max((file.stat().st_mtime for file in sources if file.exists()), default=0.0)
    if script.exists() and script.stat().st_mtime > changed:
        return
    done = subprocess.run(
        [
            str(esbuild),
            str(PAGE / "main.jsx"),
            "--bundle",
            "--minify",
            "--jsx=automatic",
            "--log-level=error",
            '--define:process.env.NODE_ENV="production"',
            f"--outfile={script}",
            *(f"--loader:{suffix}={loader}" for suffix, loader in _FONTS.items()),
        ],
        env={**os.environ, "NODE_PATH": str(PACKAGES / "node_modules")},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise DrawingError(done.stderr)


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Page

    def do_GET(self) -> None:
        folders = {"/bundle/": PACKAGES / "bundle", "/public/build/img/icons/": ICONS}
        if self.path == "/board.json":
            self._send(json.dumps(self.server.board).encode(), "application/json")
            return
        if self.path == "/drawn":
            self.server.drawn.wait(_PATIENCE)
            self.send_error(404)
            return
        file = PAGE / "index.html" if self.path == "/" else None
        for prefix, folder in folders.items():
            if self.path.startswith(prefix):
                file = folder / self.path.removeprefix(prefix)
        if file is None or ".." in self.path or not file.is_file():
            self.send_error(404)
            return
        self._send(file.read_bytes(), mimetypes.guess_type(file.name)[0] or "text/plain")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self._send(b"", "text/plain")
        if self.path == "/error":
            self.server.error = body
        self.server.drawn.set()

    def _send(self, body: bytes, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class Page(http.server.ThreadingHTTPServer):
    """The page on a free port of loopback, with one board at a time."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.board: dict[str, Any] = {}
        self.error: str | None = None
        self.drawn = threading.Event()

    def photograph(self, board: dict[str, Any], width: int, height: int, picture: Path) -> None:
        """Draw the board, and write it as PNG. Raises DrawingError where the page failed."""
        self.board, self.error = board, None
        self.drawn.clear()
        picture.unlink(missing_ok=True)
        with tempfile.TemporaryDirectory(prefix="dashboard-preview-") as profile:
            command = [
                chromium(),
                "--headless",
                # As root, as in a container, Chromium has no sandbox. The page is our own.
                *(["--no-sandbox"] if os.geteuid() == 0 else []),
                "--disable-gpu",
                "--hide-scrollbars",
                "--force-device-scale-factor=1",
                # It asks nobody but this page.
                "--disable-background-networking",
                "--disable-component-update",
                "--no-first-run",
                f"--user-data-dir={profile}",
                f"--window-size={width},{height}",
                f"--screenshot={picture}",
                f"http://127.0.0.1:{self.server_address[1]}/",
            ]
            try:
                done = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE)
            except subprocess.TimeoutExpired as error:
                raise DrawingError(f"Chromium took over {_PATIENCE:.0f} s") from error
        if self.error:
            raise DrawingError(f"the page failed: {self.error}")
        if not (self.drawn.is_set() and picture.exists()):
            raise DrawingError(f"Chromium made no picture: {done.stderr[-2000:]}")
        _reduce(picture)


def _reduce(picture: Path) -> None:
    """Reduce to 256 colours, a third of the size, if pngquant is installed."""
    pngquant = shutil.which("pngquant")
    if pngquant:
        command = [pngquant, "--nofs", "--strip", "--force", "--output", str(picture), str(picture)]
        subprocess.run(command, check=True)


@contextmanager
def served() -> Iterator[Page]:
    """The page while it is needed."""
    with Page() as page:
        thread = threading.Thread(target=page.serve_forever, daemon=True)
        thread.start()
        try:
            yield page
        finally:
            page.shutdown()
            thread.join()
