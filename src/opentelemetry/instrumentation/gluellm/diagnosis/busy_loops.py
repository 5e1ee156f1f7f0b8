"""Call sites that keep event loops busy now, for the finding that a loop is blocked."""

from __future__ import annotations

import sys
import threading
from types import FrameType

from ..text import call_site_text

_LOOPS = ("/asyncio/base_events.py", "/asyncio/runners.py")
"""Files whose frames run a loop. uvloop has no Python frames, so ``runners.py`` marks its loops."""
_LEFT_OUT = ("/asyncio/events.py", "/gluellm/diagnosis/signal_report/on_signal.py")
"""Files whose frames are left out: asyncio's runner of callbacks, and the handler of the signal
report, which may still run in the main thread."""
_WAITING = ("/selectors.py", "/asyncio/windows_events.py")
_MOST_FRAMES = 6
_LONGEST = 120
_DEEPEST = 500


def call_sites_of_busy_loops() -> tuple[str, ...]:
    """Return what keeps each asyncio loop busy: lines with its thread and its innermost frames.

    A loop that waits for events is not busy. Frames can change while they are read, so a line may
    be slightly out of date.
    """
    threads = {thread.ident: thread for thread in threading.enumerate()}
    lines: list[str] = []
    for ident, frame in sys._current_frames().items():
        frames = _within_loop(frame)
        if frames:
            lines.append(f"event loop of {_which(threads.get(ident))}, innermost frame first")
        for inner in frames[:_MOST_FRAMES]:
            code = inner.f_code
            place = f"{code.co_filename}:{inner.f_lineno} in {code.co_qualname}"
            lines.append(f"  {call_site_text(place, _LONGEST)}")
    return tuple(lines)


def _which(thread: threading.Thread | None) -> str:
    # Not the thread's name, which the application chooses. py-spy, gdb and `top -H` show the
    # native ID.
    if thread is None:
        return "a thread that Python did not start"
    if thread is threading.main_thread():
        return "the main thread"
    return f"thread {thread.native_id}"


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
