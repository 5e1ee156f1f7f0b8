"""Call sites that keep event loops busy now, for the finding that a loop is blocked."""

from __future__ import annotations

import sys
from types import FrameType

from ..pool.call_site import find
from ..text import call_site_text

_LOOPS = ("/asyncio/base_events.py", "/asyncio/runners.py")
"""Files whose frames run a loop. uvloop has no Python frames, so ``asyncio.runners`` marks them."""
_LEFT_OUT = ("/asyncio/events.py", "/gluellm/snapshots/on_signal/reporter.py")
"""Files whose frames are left out: asyncio's runner of callbacks, and the handler of the signal
report, which may still run in the main thread."""
_WAITING = ("/selectors.py", "/asyncio/windows_events.py")
_MOST_FRAMES = 6
_DEEPEST = 500


def busy_loops() -> list[tuple[str, ...]]:
    """Return the stack that keeps each asyncio loop busy.

    The application's call site comes first, if it is known, then the innermost frames. A loop that
    waits for events is not busy. Frames can change while they are read, so a line may be slightly
    out of date.
    """
    found = []
    for innermost in sys._current_frames().values():
        frames = _within_loop(innermost)
        if frames:
            places = [
                call_site_text(f"{f.f_code.co_filename}:{f.f_lineno} in {f.f_code.co_qualname}")
                for f in frames[:_MOST_FRAMES]
            ]
            site = find(of=frames[0])
            found.append((places[0] if site is None else call_site_text(str(site)), *places))
    return found


def _within_loop(innermost: FrameType) -> list[FrameType]:
    """Return the frames that a loop called; none if the thread runs no loop or the loop waits."""
    frames: list[FrameType] = []
    frame: FrameType | None = innermost
    for _ in range(_DEEPEST):
        if frame is None:
            break
        path = frame.f_code.co_filename.replace("\\", "/")
        if path.endswith(_LOOPS):
            return frames
        if path.endswith(_WAITING):
            frames.clear()
        elif not path.endswith(_LEFT_OUT):
            frames.append(frame)
        frame = frame.f_back
    return []
