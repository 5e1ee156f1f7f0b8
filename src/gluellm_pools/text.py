"""Text from other programs, made printable, and the formats of numbers and times."""

from __future__ import annotations

import re

from opentelemetry.instrumentation.gluellm.text import one_line
from opentelemetry.instrumentation.gluellm.text import percent as percent
from opentelemetry.instrumentation.gluellm.text import seconds as seconds

_LONGEST = 40
_LONGEST_LINE = 1000
_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800, "y": 31536000}
_NUMBER = r"\d{1,12}(?:\.\d{1,9})?"
_PART = re.compile(rf"({_NUMBER})(ms|[smhdwy])", re.ASCII)


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


def printable_lines(text: object) -> str:
    """Several lines, each made printable, with their line ends kept."""
    return "\n".join(printable(line, _LONGEST_LINE) for line in str(text).split("\n"))


def duration(text: str) -> float | None:
    """Return the seconds of ``5m``, ``1h30m`` or a plain number; None for anything else."""
    if re.fullmatch(rf"(?:{_PART.pattern})+", text, re.ASCII):
        return sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(text))
    return float(text) if re.fullmatch(_NUMBER, text, re.ASCII) else None


def age_text(age: float) -> str:
    """Format an age; from 3 minutes on in minutes, hours or days: ``13 min``."""
    for unit, name in ((86_400, "days"), (3600, "hours"), (60, "min")):
        if age >= (3 if unit == 60 else 2) * unit:
            return f"{age / unit:.0f} {name}"
    return seconds(age)
