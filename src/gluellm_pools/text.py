"""Text that came from elsewhere, made fit for a terminal."""

from __future__ import annotations

from opentelemetry.instrumentation.gluellm.text import one_line

_LONGEST = 40
_LONGEST_LINE = 1000


def printable(value: object, longest: int = _LONGEST) -> str:
    """The value as one short line without control or format characters."""
    return one_line(value, longest)


def printable_ends(value: object, longest: int = _LONGEST, mark: str = "...") -> str:
    """The same, shortened in the middle: names of pods and workers differ at their ends."""
    text = str(value)
    if len(text) > longest:
        kept = longest - len(mark)
        end = (kept + 1) // 2
        text = f"{text[: kept - end]}{mark}{text[-end:]}"
    return printable(text, longest)


def printable_lines(text: object, longest: int = _LONGEST_LINE) -> str:
    """Several lines, each made printable, with the line ends that they have."""
    return "\n".join(printable(line, longest) for line in str(text).split("\n"))


def seconds(value: float) -> str:
    """A duration in seconds with two significant digits: ``0 s``, ``0.043 s``, ``1.2 s``."""
    if value == 0:
        return "0 s"
    if value < 0.001:
        return "<0.001 s"
    if value < 0.1:
        return f"{value:.3f} s"
    if value < 1:
        return f"{value:.2f} s"
    return f"{value:.1f} s" if value < 100 else f"{value:.0f} s"


def percent(share: float) -> str:
    return f"{100 * share:.0f}%"
