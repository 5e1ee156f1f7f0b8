"""Where event loops are now, for the finding that one is blocked."""

from __future__ import annotations

import sys
import threading
from types import FrameType

from ..text import call_site_text

_LOOPS = ("/asyncio/base_events.py", "/asyncio/runners.py")
"""The second for uvloop, which has no frames of its own."""
_NOT_TOLD = ("/asyncio/events.py", "/gluellm/diagnosis/on_signal.py")
"""What runs each callback, and our own handler, which the main thread may still be in."""
_WAITING = ("/selectors.py", "/asyncio/windows_events.py")
_MOST_FRAMES = 6
_LONGEST = 120
_DEEPEST = 500


def call_sites_of_busy_loops() -> tuple[str, ...]:
    """What keeps each asyncio loop busy now: its thread, then the innermost frames as text.

    A loop that waits for events is not busy. Frames that change while they are read give a place
    that is a moment old, and nothing worse.
    """
    threads = {thread.ident: thread for thread in threading.enumerate()}
    lines: list[str] = []
    for ident, frame in sys._current_frames().items():
        frames = _within_loop(frame)
        if frames:
            which = _which(threads.get(ident))
            lines.append(f"event loop of {which}, innermost frame first")
            lines += [
                f"  {call_site_text(_text(inner), _LONGEST)}" for inner in frames[:_MOST_FRAMES]
            ]
    return tuple(lines)


def _which(thread: threading.Thread | None) -> str:
    # Not by its name, which is the application's to choose. The system's number is what py-spy,
    # gdb and `top -H` show.
    if thread is None:
        return "a thread that is not Python's own"
    if thread is threading.main_thread():
        return "the main thread"
    return f"thread {thread.native_id}"


def _within_loop(innermost: FrameType) -> list[FrameType]:
    """The frames that a loop called; none where the thread runs no loop, or its loop waits."""
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
        elif not path.endswith(_NOT_TOLD):
            frames.append(frame)
        frame = frame.f_back
    return []


def _text(frame: FrameType) -> str:
    return f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_qualname}"
