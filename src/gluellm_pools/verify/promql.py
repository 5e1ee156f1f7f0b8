"""Writes PromQL selectors, and finds the selectors of an expression.

Regular expressions find the selectors. They are no parser: the store itself checks the expression,
and boards for VictoriaMetrics use functions that Prometheus' grammar does not have.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ..text import duration

_STRING = r'"(?:\\.|[^"\\])*+"|\'(?:\\.|[^\'\\])*+\'|`[^`]*+`'
_COMMENT = re.compile(rf"({_STRING})|#[^\n]*")
_GROUPING = re.compile(
    r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^()]*\)", re.IGNORECASE
)
_SELECTOR = re.compile(
    rf"""(?:{_STRING})
      |(?:(?P<name>(?<![\w.])[a-zA-Z_:][\w:.]*+)(?!\s*\()|(?=\{{))
       \s*(?:\{{(?P<matchers>(?:{_STRING}|[^"'`{{}}])*+)\}}?)?
       \s*(?:\[(?P<window>[\w.]+))?""",
    re.VERBOSE | re.DOTALL,
)
_MATCHER = re.compile(rf"([\w.]+|{_STRING})\s*(=~|!~|!=|=)\s*({_STRING})", re.DOTALL)
_QUOTED_NAME = re.compile(rf"(?:^|,)\s*({_STRING})\s*(?:,|$)", re.DOTALL)
_KEYWORDS = frozenset(
    "and or unless bool offset inf nan atan2 by without on ignoring group_left group_right".split()
)
_PLAIN = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")


class Selector(NamedTuple):
    """The series that one part of an expression selects."""

    name: str
    matchers: tuple[tuple[str, str], ...] = ()
    """The label of each matcher and the whole matcher in PromQL."""
    window: float | None = None
    """Seconds of a range selector."""


def selectors(promql: str) -> list[Selector]:
    """Return the selectors of an expression that name their metric, in their order."""
    text = _GROUPING.sub("", _COMMENT.sub(r"\1", promql))
    found = []
    for match in _SELECTOR.finditer(text):
        name, inside = match["name"] or "", match["matchers"] or ""
        if name.lower() in _KEYWORDS:
            continue
        if quoted := _QUOTED_NAME.search(inside):
            name = _unquoted(quoted[1])
        matchers = []
        for label, operator, value in _MATCHER.findall(inside):
            if label == "__name__" and operator == "=":
                name = _unquoted(value)
            elif label != "__name__":
                matchers.append((_unquoted(label), f"{label}{operator}{value}"))
        if name:
            found.append(Selector(name, tuple(matchers), duration(match["window"] or "")))
    return found


def _unquoted(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text[1:-1]) if text[0] in "\"'`" else text


def selector(name: str, matchers: Iterable[str] = ()) -> str:
    """Return a selector; a name with dots is quoted, for Prometheus 3 and VictoriaMetrics."""
    if not name or _PLAIN.fullmatch(name):
        return f"{name}{{{','.join(matchers)}}}"
    return "{" + ",".join([json.dumps(name), *matchers]) + "}"


def matcher(label: str, values: Sequence[str]) -> str:
    """Return a matcher for one of several values of a label."""
    key = label if _PLAIN.fullmatch(label) else json.dumps(label)
    if len(values) == 1:
        return f"{key}={json.dumps(values[0], ensure_ascii=False)}"
    return f"{key}=~{json.dumps('|'.join(map(re.escape, values)), ensure_ascii=False)}"
