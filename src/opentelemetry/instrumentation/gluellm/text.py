"""Formatting of numbers and of text from outside, for people."""

from __future__ import annotations

import math
import re

_LONGEST, _LONGEST_PLACE = 60, 120
_WIDTH = 96


def one_line(value: object, longest: int = _LONGEST) -> str:
    """Format a value as one printable line of at most ``longest`` characters.

    A model's name, a path or a metric's attribute can contain anything, and an escape sequence in
    it would reach the reader's terminal.
    """
    text = str(value)[: longest + 1]
    if not text.isprintable():
        text = "".join(character if character.isprintable() else "?" for character in text)
    return text if len(text) <= longest else text[: longest - 3] + "..."


def where_it_failed(error: BaseException) -> str:
    """Describe a failure of the instrumentation by its type and innermost line.

    Leaves out the message, which can contain a URL or a header.
    """
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    what = one_line(type(error).__qualname__)
    if traceback is None:
        return what
    code = traceback.tb_frame.f_code
    return (
        f"{what} at {call_site_text(f'{code.co_filename}:{traceback.tb_lineno} in {code.co_name}')}"
    )


def call_site_text(call_site: str, longest: int = _LONGEST_PLACE) -> str:
    """Format a ``file:line in function``, shortened at its start: its end identifies the line."""
    text = one_line(call_site, max(longest, len(call_site)))
    return text if len(text) <= longest else "..." + text[len(text) - longest + 3 :]


def seconds(value: float) -> str:
    """Format seconds in about two digits: ``0.043 s``, ``1.2 s``, ``600 s``, ``5 h``."""
    if not math.isfinite(value):
        return "unknown time"
    if value <= 0:
        return "0 s"
    if value < 0.001:
        return "<0.001 s"
    if value < 0.1:
        return f"{value:.3f} s"
    if value < 1:
        return f"{value:.2f} s"
    if value >= 7200:
        return f"{value / 3600:.0f} h"
    return f"{value:.1f} s" if value < 10 else f"{value:.0f} s"


def period_text(value: float) -> str:
    """Format a period in whole minutes, ``5 min``, or in seconds if it is short."""
    return f"{value / 60:.0f} min" if 90 <= value < math.inf else seconds(value)


def timeout_text(value: float | None) -> str:
    """Format a timeout in seconds, ``600 s`` or ``0.5 s``; ``none`` for None."""
    if value is None:
        return "none"
    return f"{value:.9g} s"


def percent(share: float) -> str:
    """Format a share between 0 and 1 as a percentage, without decimals from 1 % on."""
    if not math.isfinite(share):
        return "unknown share"
    if 0 < share < 0.01:
        return f"{100 * share:.1g}%" if share >= 0.0001 else "<0.01%"
    return f"{100 * share:.0f}%"


def counted(number: int, noun: str) -> str:
    """Format a number with its noun: ``1 request``, ``2 requests``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def with_outcome(number: float, outcome: str) -> str:
    """Format a number of calls or requests with their status or error: ``28 with status 429``."""
    how = {"cancelled": ""}.get(outcome, "with status " if outcome.isdigit() else "with ")
    return f"{number:.0f} {how}{one_line(outcome)}"


def rate(per_second: float) -> str:
    """Format events per second: ``12/s``, ``0.8/s``."""
    return f"{per_second:.0f}/s" if per_second >= 10 else f"{per_second:.2g}/s"


def wrapped(text: str, indent: str = "", following: str | None = None) -> list[str]:
    """Wrap a text for a terminal of 80 to 100 columns; a long word may make a line wider.

    The first line begins with ``indent``, the others with ``following``, by default two columns
    further in.
    """
    import textwrap  # not needed until a text is printed

    # A number and its unit stay on one line.
    bound = re.sub(r"(?<=\d) (?=(s|min|h)\b)", "\N{NO-BREAK SPACE}", text)
    lines = textwrap.wrap(
        bound,
        _WIDTH,
        initial_indent=indent,
        subsequent_indent=indent + "  " if following is None else following,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [line.replace("\N{NO-BREAK SPACE}", " ") for line in lines]
