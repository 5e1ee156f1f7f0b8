"""Where in the application's code a call was made: the first frame outside libraries."""

from __future__ import annotations

import sys
import sysconfig
from pathlib import Path
from types import CodeType, FrameType

_OWN = str(Path(__file__).parents[1]) + "/"
_ROOTS = tuple(
    {
        f"{path.rstrip('/')}/"
        for name, path in sysconfig.get_paths().items()
        if name in ("stdlib", "platstdlib", "purelib", "platlib", "scripts") and path
    }
)
_INSTALLED = ("/site-packages/", "/dist-packages/")
_LOOP = tuple(f"/asyncio/{name}.py" for name in ("events", "base_events", "runners"))
"""Frames beyond these belong to whoever runs the event loop, not to who made the call."""
_STACK = frozenset(
    {
        "aiohttp",
        "anthropic",
        "any_llm",
        "anyio",
        "azure",
        "boto3",
        "botocore",
        "cohere",
        "fireworks",
        "gluellm",
        "google",
        "httpcore",
        "httpcore2",
        "httpx",
        "httpx2",
        "httpx_aiohttp",
        "openai",
        "opentelemetry",
        "otari",
        "requests",
        "tenacity",
        "urllib3",
        "voyageai",
        "wrapt",
    }
)
"""What stands between an application and its pool. An application may be installed as a package
too, so in a stack that has installed code only, the first frame outside these is taken."""
_DEEPEST = 200
_MOST_KNOWN = 10_000

_LIBRARY, _APPLICATION, _STANDARD, _EVENT_LOOP, _BETWEEN = range(5)
_kinds: dict[str, int] = {}


class CallSite:
    """A line of the application's code. It holds a code object and no frame."""

    __slots__ = ("code", "line", "stack")

    def __init__(
        self, code: CodeType, line: int, stack: tuple[tuple[CodeType, int], ...] = ()
    ) -> None:
        self.code = code
        self.line = line
        self.stack = stack
        """Code and line of every frame, the innermost first, where that is asked for."""

    @property
    def key(self) -> tuple[str, int]:
        """What makes two places the same."""
        return self.code.co_filename, self.line

    def __str__(self) -> str:
        return _text(self.code, self.line)

    @property
    def frames(self) -> tuple[str, ...]:
        """The whole stack in words, the innermost frame first."""
        return tuple(_text(code, line) for code, line in self.stack)


def find(*, whole: bool = False) -> CallSite | None:
    """The place that the running code was called from; None where there is no application's frame.

    With ``whole`` the place has the whole stack too, which costs some ten microseconds.
    """
    frame: FrameType | None = sys._getframe(1)
    stack = _whole(frame) if whole else ()
    second: FrameType | None = None
    for _ in range(_DEEPEST):
        if frame is None:
            break
        kind = _kinds.get(frame.f_code.co_filename)
        if kind is None:
            kind = _kind_of(frame)
        if kind == _APPLICATION:
            return CallSite(frame.f_code, frame.f_lineno, stack)
        if kind == _EVENT_LOOP:
            break
        if kind == _LIBRARY and second is None:
            second = frame
        frame = frame.f_back
    if second is None:
        return None
    return CallSite(second.f_code, second.f_lineno, stack)


def ends_search(frame: FrameType) -> bool:
    """Whether a frame belongs to the application, or to an event loop that runs it."""
    kind = _kinds.get(frame.f_code.co_filename)
    return (_kind_of(frame) if kind is None else kind) in (_APPLICATION, _EVENT_LOOP)


def _kind_of(frame: FrameType) -> int:
    filename = frame.f_code.co_filename
    if filename.startswith("<"):
        # Generated code, but for what is typed in or given with -c.
        return _APPLICATION if frame.f_globals.get("__name__") == "__main__" else _STANDARD
    path = filename.replace("\\", "/")
    if path.startswith(_OWN):
        kind = _STANDARD
    elif any(part in path for part in _INSTALLED):
        kind = _BETWEEN if _top(frame) in _STACK else _LIBRARY
    elif path.endswith(_LOOP):
        kind = _EVENT_LOOP
    elif path.startswith(_ROOTS):
        kind = _STANDARD
    else:
        kind = _APPLICATION
    if len(_kinds) < _MOST_KNOWN:
        _kinds[filename] = kind
    return kind


def _top(frame: FrameType) -> str:
    name = frame.f_globals.get("__name__")
    return name.partition(".")[0] if isinstance(name, str) else ""


def _whole(frame: FrameType | None) -> tuple[tuple[CodeType, int], ...]:
    found: list[tuple[CodeType, int]] = []
    while frame is not None and len(found) < _DEEPEST:
        found.append((frame.f_code, frame.f_lineno))
        frame = frame.f_back
    return tuple(found)


def _text(code: CodeType, line: int) -> str:
    return f"{code.co_filename}:{line} in {code.co_qualname}"
