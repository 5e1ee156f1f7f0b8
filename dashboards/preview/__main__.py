"""``make dashboard-preview``: the boards' pictures.

Without ``--prometheus`` it makes those of docs/, from data that it makes by scenarios of real load
where that isn't there yet (about 10 min; the pictures take 1 to 3). The exit status is 1 when a
query was refused.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from . import asking, drawing, filling
from .filling import Span

if TYPE_CHECKING:
    from .replaying import Replayed

BOARDS: Final = Path(__file__).parents[1] / "grafana"
PICTURES: Final = Path(__file__).parents[2] / "docs" / "pictures"
DATA: Final = drawing.PACKAGES / "scenarios"
"""Of the scenarios; remove it to have them played anew."""
WIDTH: Final = 1600
_PADDING: Final = 16
_COLUMNS: Final = 24
_CELL, _MARGIN = 30, 8
_HEAD_LINE: Final = 38
# Pixels of what stands in the line of variables: a letter at most, and the frame with its gap.
_LETTER, _FRAME = 7, 34


def moment(text: str) -> float:
    """Seconds since the epoch, of an ISO time, such seconds, or ``now`` and ``now-15m``."""
    if found := re.fullmatch(r"now(?:-(\w+))?", text):
        return time.time() - (filling.seconds(found[1]) if found[1] else 0.0)
    try:
        return float(text)
    except ValueError:
        at = datetime.fromisoformat(text)
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


def prepared(
    board: dict[str, Any], store: asking.Store, span: Span, given: dict[str, str], theme: str
) -> dict[str, Any]:
    """All that the page needs, the answers included."""
    chosen = list(asking.variables(board, given, store, span))
    values = {one.name: one.value for one in chosen}
    column = (WIDTH - 2 * _PADDING) / _COLUMNS
    bars = [{"label": one.label, "text": one.text} for one in chosen if not one.hidden]
    marks = list(asking.marks(board, values, store, span))
    said = [bar["label"] + bar["text"] for bar in bars]
    said += [f"▲ {mark['name']}: 00" for mark in marks]
    line = sum(len(text) * _LETTER + _FRAME for text in said)
    ends = [datetime.fromtimestamp(at, UTC) for at in (span.start, span.end)]
    return {
        "title": board["title"],
        "theme": theme,
        "width": WIDTH,
        "padding": _PADDING,
        "head": _HEAD_LINE * (2 + line // (WIDTH - 2 * _PADDING)),
        "from": span.start * 1000,
        "to": span.end * 1000,
        "span": f"{ends[0]:%Y-%m-%d %H:%M:%S} to {ends[1]:%Y-%m-%d %H:%M:%S} UTC",
        "variables": bars,
        "annotations": marks,
        "panels": list(asking.panels(board, values, store, span, column)),
    }


def height(prepared: dict[str, Any]) -> int:
    """Pixels of the whole page."""
    places = [panel["gridPos"] for panel in prepared["panels"]]
    rows = max((place["y"] + place["h"] for place in places), default=0)
    grid = rows * (_CELL + _MARGIN) - _MARGIN
    return int(2 * _PADDING + prepared["head"] + grid)


def options(arguments: Sequence[str] | None) -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(
        prog="make dashboard-preview ARGS=...",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--prometheus", metavar="URL", help="what is asked")
    parser.add_argument(
        "--out", metavar="FOLDER", type=Path, default=Path(), help="with --prometheus"
    )
    parser.add_argument(
        "--board", metavar="NAME", action="append", help="without it: all of dashboards/grafana"
    )
    parser.add_argument("--suffix", default="", help="after the board's name in the file's name")
    parser.add_argument("--from", dest="start", help="such as now-1h (default: the board's)")
    parser.add_argument("--to", dest="end", default="now")
    parser.add_argument("--range", help="such as 15m, up to --to")
    parser.add_argument("--var", action="append", default=[], metavar="NAME=VALUE[,VALUE]")
    parser.add_argument(
        "--data", metavar="FOLDER", type=Path, default=DATA, help="of the scenarios, without URL"
    )
    parser.add_argument("--theme", choices=("light", "dark"), default="light")
    return parser.parse_args(arguments)


def span(asked: argparse.Namespace, board: dict[str, Any]) -> Span:
    """What time to draw: as asked for, else the board's own."""
    end = moment(asked.end)
    if asked.range:
        return Span(end - filling.seconds(asked.range), end)
    return Span(moment(asked.start or board.get("time", {}).get("from", "now-1h")), end)


def draw(page: drawing.Page, data: dict[str, Any], picture: Path) -> list[str]:
    """One picture; what its panels have to complain of."""
    page.photograph(data, WIDTH, height(data), picture.resolve())
    print(f"{picture}: {picture.stat().st_size / 1000:.0f} kB", flush=True)
    return [f"{panel['title']}: {panel['error']}" for panel in data["panels"] if panel["error"]]


def chosen(text: str) -> tuple[str, str]:
    """A variable and its value, of ``--var``. Raises ValueError."""
    name, sign, value = text.partition("=")
    if not sign:
        raise ValueError(f"--var {text}: write it as NAME=VALUE")
    return name, value


def of_store(asked: argparse.Namespace, files: Sequence[Path], page: drawing.Page) -> list[str]:
    """The boards as they are now, over somebody's data."""
    store = asking.Store(asked.prometheus)
    given = dict(chosen(one) for one in asked.var)
    asked.out.mkdir(parents=True, exist_ok=True)
    complaints = []
    for file in files:
        board = json.loads(file.read_text())
        data = prepared(board, store, span(asked, board), given, asked.theme)
        complaints += draw(page, data, asked.out / f"{file.stem}{asked.suffix}.png")
    return complaints


def of_scenarios(asked: argparse.Namespace, files: Sequence[Path], page: drawing.Page) -> list[str]:
    """The pictures of docs/: a board over each scenario, and the fleet's over all of them."""
    from . import replaying  # takes seconds, which nobody has during an incident

    PICTURES.mkdir(parents=True, exist_ok=True)
    complaints = []
    if not asked.data.exists():
        replaying.play(asked.data.absolute())
    with replaying.replayed(asked.data.absolute()) as replayed:
        store = asking.Store(replayed.url)
        for file in files:
            board = json.loads(file.read_text())
            name = file.stem.removeprefix("gluellm-")
            for picture, given in choices(name, replayed):
                data = prepared(board, store, replayed.span, given, asked.theme)
                complaints += draw(page, data, PICTURES / f"{picture}.png")
    return complaints


def choices(board: str, replayed: Replayed) -> Iterator[tuple[str, dict[str, str]]]:
    """The pictures of a board by their names, and what is chosen for each."""
    given = {"interval": replayed.interval}
    if board == "fleet":
        yield board, given
        return
    for scene in replayed.scenes:
        found = {"job": scene.service}
        # The overview is where somebody finds the provider; the other boards are opened for it.
        if board != "overview":
            if scene.provider is None:
                continue
            found["provider"] = scene.provider
        yield f"{board}-{scene.name}", {**given, **found}


def main(arguments: Sequence[str] | None = None) -> int:
    """0 when every board was drawn and every query answered."""
    asked = options(arguments)
    names = asked.board or sorted(path.stem for path in BOARDS.glob("*.json"))
    files = [Path(name) if name.endswith(".json") else BOARDS / f"{name}.json" for name in names]
    drawing.chromium()
    drawing.bundle()
    with drawing.served() as page:
        complaints = (of_store if asked.prometheus else of_scenarios)(asked, files, page)
    for complaint in complaints:
        print(complaint, file=sys.stderr)
    return 1 if complaints else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except subprocess.CalledProcessError as error:
        sys.exit(error.returncode)
    except (drawing.DrawingError, asking.RefusedError, ValueError, OSError) as error:
        print(f"dashboard-preview: {error}", file=sys.stderr)
        sys.exit(2)
