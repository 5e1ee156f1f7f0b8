"""Text from other programs, made printable, and the formats of numbers."""

from __future__ import annotations

from opentelemetry.instrumentation.gluellm.text import one_line
from opentelemetry.instrumentation.gluellm.text import percent as percent
from opentelemetry.instrumentation.gluellm.text import seconds as seconds

_LONGEST = 40
_LONGEST_LINE = 1000


def printable(value: object, longest: int = _LONGEST) -> str:
    """The value as one short line without control or format characters."""
    return one_line(value, longest)


def printable_ends(value: object, longest: int = _LONGEST, mark: str = "...") -> str:
    """Like `printable`, but shortened in the middle: names of pods differ at their ends."""
    text = str(value)
    if len(text) > longest:
        kept = longest - len(mark)
        end = (kept + 1) // 2
        text = f"{text[: kept - end]}{mark}{text[-end:]}"
    return printable(text, longest)


def printable_lines(text: object, longest: int = _LONGEST_LINE) -> str:
    """Several lines, each made printable, with their line ends kept."""
    return "\n".join(printable(line, longest) for line in str(text).split("\n"))
