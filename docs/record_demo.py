"""Record a run of ``gluellm-pools demo`` as docs/pictures/demo.svg: an animation of its screens."""

from __future__ import annotations

import fcntl
import html
import os
import pty
import select
import struct
import sys
import termios
import time
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import pyte

COLUMNS, ROWS = 96, 30
EVERY = 3.0
"""Seconds of the demo between two frames, each of which is shown for a second."""
HELD = 3
"""Further frames that show the end."""
CELL_WIDTH, CELL_HEIGHT, MARGIN = 8.4, 17, 10
WIDTH, HEIGHT = COLUMNS * CELL_WIDTH + 2 * MARGIN, ROWS * CELL_HEIGHT + 2 * MARGIN
COLORS = {"red": "#f14c4c", "green": "#4ec94e", "brown": "#e5c07b", "blue": "#5b9cf5"}
COLORS |= {"magenta": "#d670d6", "cyan": "#29b8db", "brightblack": "#8a8a8a"}
STYLE = f"""\
<style>text{{font:14px ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;\
white-space:pre}}.b{{font-weight:bold}}#f{{animation:p %(n)ds steps(%(n)d) infinite}}\
@keyframes p{{to{{transform:translateY(-%(height)gpx)}}}}</style>
<rect width="100%%" height="100%%" rx="6" fill="#1e1e1e"/>\
<svg width="{WIDTH:g}" height="{HEIGHT:g}"><g id="f" fill="#d4d4d4">"""


def play(command: list[str]) -> Iterator[pyte.Screen]:
    """Run a command in a terminal, and yield its screen now and then, the last time at its end."""
    screen = pyte.Screen(COLUMNS, ROWS)
    stream = pyte.ByteStream(screen)
    child, terminal = pty.fork()
    if child == 0:
        os.execvpe(command[0], command, {**os.environ, "TERM": "xterm-256color"})
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    due = time.monotonic()
    try:
        while True:
            if select.select([terminal], [], [], 0.1)[0]:
                stream.feed(os.read(terminal, 65_536))
            if time.monotonic() >= due:
                due += EVERY
                yield screen
    except OSError:  # the command has ended
        yield screen
    if status := os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]):
        sys.exit(f"the demo ended with status {status}")


def drawn(screen: pyte.Screen) -> str:
    """Return the screen as SVG: a text for each run of cells that look the same."""
    lines = []
    for y in range(ROWS):
        cells = [screen.buffer[y][x] for x in range(COLUMNS)]
        x = 0
        for (color, bold), run in groupby(cells, key=lambda cell: (cell.fg, cell.bold)):
            text = "".join(cell.data for cell in run)
            left, shown = (x + len(text) - len(text.lstrip())) * CELL_WIDTH, text.strip()
            x += len(text)
            if shown:
                kind = ' class="b"' * bold + (f' fill="{COLORS[color]}"' if color in COLORS else "")
                place = f'x="{left:.1f}" y="{(y + 0.8) * CELL_HEIGHT:.1f}"'
                length = f'textLength="{len(shown) * CELL_WIDTH:.1f}"'
                shown = html.escape(shown, quote=False)
                lines.append(f"<text {place} {length}{kind}>{shown}</text>")
    return "\n".join(lines)


def main() -> None:
    """Play the demo, and replace the picture."""
    frames = [
        drawn(screen) for screen in play([sys.executable, "-m", "gluellm_pools.main", "demo"])
    ]
    first = next(n for n, frame in enumerate(frames) if "what callers see" in frame)
    frames = [*frames[first:], *frames[-1:] * HELD]
    size = f'viewBox="0 0 {WIDTH:g} {HEIGHT:g}" width="{WIDTH:g}" height="{HEIGHT:g}"'
    label = 'role="img" xml:space="preserve" aria-label="A run of gluellm-pools demo"'
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" {size} {label}>']
    parts.append(STYLE % {"n": len(frames), "height": len(frames) * HEIGHT})
    for number, frame in enumerate(frames):
        place = f"translate({MARGIN} {number * HEIGHT + MARGIN:g})"
        parts.append(f'<g transform="{place}">\n{frame}\n</g>')
    picture = Path(__file__).with_name("pictures") / "demo.svg"
    picture.write_text("\n".join([*parts, "</g></svg></svg>\n"]), encoding="utf-8")


if __name__ == "__main__":
    main()
