"""Makes the series of recording rules: by promtool, in the hours that have raw samples.

Copies of these fill the rest of the day, so that it is built within half an hour.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from .blocks import MINUTE, create, promtool, spans
from .store import BlockStore

_RECORDED: Final = '{__name__=~".+:.+"}'
WARMING: Final = 10 * MINUTE
"""Seconds until the windows of all rates are full."""


def record(store: BlockStore, rules: Iterable[Path], start: int, end: int) -> None:
    """Let promtool evaluate recording rules over a running store, into blocks beside its own."""
    promtool(
        *("create-blocks-from", "rules", "--quiet"),
        *(f"--url={store.url}", f"--output-dir={store.data}"),
        *(f"--start={start + WARMING}", f"--end={end}"),
        *rules,
    )


def repeat(data: Path, folder: Path, dense: tuple[int, int], begin: int) -> None:
    """Fill the time from ``begin`` to the dense hours with copies of what was recorded in these.

    ``folder`` is for texts. Call it while nothing else uses the data.
    """
    start, end = dense[0] + WARMING, dense[1]
    recorded = folder / "recorded.txt"
    with recorded.open("wb") as text:
        promtool(
            *("dump-openmetrics", f"--match={_RECORDED}", f"--sandbox-dir-root={folder}"),
            *(f"--min-time={start * 1000}", f"--max-time={end * 1000 - 1}"),
            data,
            output=text,
        )
    for first, last in spans(begin, start):
        part = folder / "part.txt"
        with part.open("wb") as target:
            # The oldest copy first, so that the samples of a series are in order.
            for back in range(end - first - (end - first) % (end - start), 0, start - end):
                with recorded.open("rb") as source:
                    target.writelines(_moved(source, back, first, last))
            target.write(b"# EOF\n")
        create(part, data)


def _moved(lines: Iterable[bytes], back: int, first: int, last: int) -> Iterator[bytes]:
    """The samples, moved back by ``back`` seconds, that are in a span."""
    for line in lines:
        if not line.startswith(b"#"):
            before, _, text = line.rpartition(b" ")
            at = float(text) - back
            if first <= at < last:
                yield b"%s %d\n" % (before, at)
