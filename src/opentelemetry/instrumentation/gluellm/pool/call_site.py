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
"""Modules that end the search: frames beyond them run the event loop and did not make the call."""
_NAMES = (
    "aiohttp anthropic any_llm anyio azure boto3 botocore cohere fireworks gluellm google grpc "
    "httpcore httpcore2 httpx httpx2 httpx_aiohttp openai opentelemetry otari requests tenacity "
    "urllib3 voyageai wrapt xai_sdk"
)
LIBRARIES = frozenset(_NAMES.split())
"""Packages between an application and its pool. An application may be an installed package as
well, so in a stack of installed code only, the call site is the first frame outside of these."""
_CLIENTS = "aiohttp anthropic cerebras fireworks groq httpx httpx2 openai requests together".split()
"""Packages that call nothing of the application between their own public method and the pool, or
do so in each request, with a custom transport."""
_DEEPEST = 200
_MOST_KNOWN = 10_000

_LIBRARY, _APPLICATION, _STANDARD, _EVENT_LOOP, _BETWEEN = range(5)
_kinds: dict[str, int] = {}


class CallSite:
    """A line of the application's code. Refers to a code object, not to a frame."""

    __slots__ = ("code", "instruction", "stack")

    def __init__(
        self, code: CodeType, instruction: int, stack: tuple[tuple[CodeType, int], ...] = ()
    ) -> None:
        self.code = code
        self.instruction = instruction
        self.stack = stack
        """Code and line of every frame, innermost first; empty unless requested from `find`."""

    @property
    def line(self) -> int:
        """Number of the line. Not read on the request's path, where it costs more than the rest."""
        for start, end, line in self.code.co_lines():
            if start <= self.instruction < end and line is not None:
                return line
        return self.code.co_firstlineno

    @property
    def key(self) -> tuple[str, int]:
        """File and line: call sites with the same key are the same."""
        return self.code.co_filename, self.line

    def __str__(self) -> str:
        return _text(self.code, self.line)

    @property
    def frames(self) -> tuple[str, ...]:
        """The stack as text, innermost frame first."""
        return tuple(_text(code, line) for code, line in self.stack)


CallSites = tuple[CallSite | None, CallSite | None]
"""Two call sites; None for an unknown one."""


class Near:
    """Where the last search of a pool's requests ended. The next one looks there first.

    It costs more to make an object of each frame than all else in a search. If the same method of a
    client is as many frames away, the frames in between are the same.
    """

    __slots__ = ("called", "depth")

    def __init__(self) -> None:
        self.depth = 1
        self.called: CodeType | None = None
        """The client's method that the application called; None if unknown."""


def find(
    near: Near | None = None, *, whole: bool = False, of: FrameType | None = None
) -> CallSite | None:
    """Find the application's call site of the running code; None if the stack has none.

    ``whole`` adds the whole stack, which costs about ten microseconds. ``of`` is the innermost
    frame to search from: the caller's by default. It can belong to another thread.
    """
    if near is not None and not whole:
        try:
            called = sys._getframe(near.depth)
            if called.f_code is near.called and (frame := called.f_back) is not None:
                code = frame.f_code
                if _kinds.get(code.co_filename) == _APPLICATION:
                    return CallSite(code, frame.f_lasti)
        except ValueError:  # the stack is not as deep
            pass
    frame = of or sys._getframe(1)
    stack = _whole(frame) if whole else ()
    second: FrameType | None = None
    inner: FrameType | None = None
    for depth in range(_DEEPEST):
        if frame is None:
            break
        code = frame.f_code
        kind = _kinds.get(code.co_filename)
        if kind is None:
            kind = _kind_of(frame)
        if kind == _APPLICATION:
            if near is not None and inner is not None and _top(inner) in _CLIENTS:
                near.depth, near.called = depth, inner.f_code
            return CallSite(code, frame.f_lasti, stack)
        if kind == _EVENT_LOOP:
            break
        if kind == _LIBRARY and second is None:
            second = frame
        inner, frame = frame, frame.f_back
    if second is None:
        return None
    return CallSite(second.f_code, second.f_lasti, stack)


def ends_search(frame: FrameType) -> bool:
    """Return whether a frame belongs to the application, or to an event loop that runs it."""
    kind = _kinds.get(frame.f_code.co_filename)
    return (_kind_of(frame) if kind is None else kind) in (_APPLICATION, _EVENT_LOOP)


def _kind_of(frame: FrameType) -> int:
    filename = frame.f_code.co_filename
    if filename.startswith("<"):
        # Generated code, except code that is typed in or passed with -c.
        return _APPLICATION if frame.f_globals.get("__name__") == "__main__" else _STANDARD
    path = filename.replace("\\", "/")
    if path.startswith(_OWN):
        kind = _STANDARD
    elif any(part in path for part in _INSTALLED):
        kind = _BETWEEN if _top(frame) in LIBRARIES else _LIBRARY
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
