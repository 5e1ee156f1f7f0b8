"""As much of PromQL as it takes to say which series an expression asks for."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

_TOKEN = re.compile(
    r"""(?P<space>\s+|\#[^\n]*)
      |(?P<string>"(?:\\.|[^"\\])*+(?:"|\\?\Z)|'(?:\\.|[^'\\])*+(?:'|\\?\Z)|`[^`]*+`?)
      |(?P<number>0x[0-9a-fA-F]+|(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?(?:ms|[smhdwy])?(?:\d+(?:ms|[smhdwy]))*)
      |(?P<word>[a-zA-Z_:][a-zA-Z0-9_:.]*)
      |(?P<sign>=~|!~|!=|==|>=|<=|.)""",
    re.VERBOSE | re.DOTALL,
)
_WITH_LABELS = {"by", "without", "on", "ignoring", "group_left", "group_right"}
_AGGREGATED = {"by", "without"}
_WORDS = {"and", "or", "unless", "bool", "offset", "inf", "nan", "start", "end", "atan2"}
_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800, "y": 31536000}
_LONGEST = 100
"""Characters of a duration: digits without a unit would be read once for each of them."""
_OPERATORS = ("=", "!=", "=~", "!~")


@dataclass(frozen=True, slots=True)
class Matcher:
    """One condition on a label."""

    label: str
    operator: str
    value: str

    def __str__(self) -> str:
        label = self.label
        if not re.fullmatch(r"[a-zA-Z_][a-zA-Z0-9_]*", label):
            label = json.dumps(label)
        return f"{label}{self.operator}{json.dumps(self.value, ensure_ascii=False)}"


@dataclass(frozen=True, slots=True)
class Selector:
    """The series that one part of an expression asks for."""

    name: str
    """Empty where the name is a pattern, or not given."""
    matchers: tuple[Matcher, ...] = ()
    window: float | None = None
    """Seconds of a range selector."""


def selectors(expression: str) -> list[Selector]:
    """The selectors of an expression, in their order. What is no PromQL gives what is found."""
    tokens = [
        (str(match.lastgroup), match.group())
        for match in _TOKEN.finditer(expression)
        if match.lastgroup != "space"
    ]
    found: list[Selector] = []
    place = 0
    while place < len(tokens):
        kind, text = tokens[place]
        after = tokens[place + 1][1] if place + 1 < len(tokens) else ""
        if kind == "word" and text.lower() in _WITH_LABELS and after == "(":
            place = _after_closing(tokens, place + 1)
        elif kind == "word" and (after == "(" or after.lower() in _AGGREGATED):
            place += 1
        elif text == "{" or (kind == "word" and text.lower() not in _WORDS | _WITH_LABELS):
            selector, place = _read(tokens, place)
            found.append(selector)
        else:
            place += 1
    return found


def _after_closing(tokens: list[tuple[str, str]], place: int) -> int:
    while place < len(tokens) and tokens[place][1] != ")":
        place += 1
    return place + 1


def _read(tokens: list[tuple[str, str]], place: int) -> tuple[Selector, int]:
    name, matchers = "", []
    if tokens[place][0] == "word":
        name = tokens[place][1]
        place += 1
    if place < len(tokens) and tokens[place][1] == "{":
        place += 1
        while place < len(tokens) and tokens[place][1] != "}":
            kind, text = tokens[place]
            operator = tokens[place + 1][1] if place + 1 < len(tokens) else ""
            if operator in _OPERATORS and place + 2 < len(tokens):
                label = _unquoted(text) if kind == "string" else text
                value = _unquoted(tokens[place + 2][1])
                if label == "__name__" and operator == "=":
                    name = value
                else:
                    matchers.append(Matcher(label, operator, value))
                place += 3
            else:
                if kind == "string":
                    name = _unquoted(text)
                place += 1
        place += 1
    window = None
    if place < len(tokens) and tokens[place][1] == "[":
        window = duration(tokens[place + 1][1]) if place + 1 < len(tokens) else None
        while place < len(tokens) and tokens[place][1] != "]":
            place += 1
        place += 1
    return Selector(name, tuple(matchers), window), place


def _unquoted(text: str) -> str:
    if text[:1] == "`":
        return text[1:-1]
    if text[:1] in "\"'" and len(text) > 1:
        inner = text[1:-1]
        return re.sub(r"\\(.)", lambda match: _ESCAPED.get(match[1], match[1]), inner)
    return text


_ESCAPED = {"n": "\n", "t": "\t", "r": "\r"}


def duration(text: str) -> float | None:
    """Seconds of ``5m``, ``1h30m`` or a plain number; None for anything else."""
    if len(text) > _LONGEST:
        return None
    parts = re.findall(r"(\d+(?:\.\d+)?)(ms|[smhdwy])", text)
    if parts and "".join(number + unit for number, unit in parts) == text:
        return sum(float(number) * _SECONDS[unit] for number, unit in parts)
    try:
        return float(text)
    except ValueError:
        return None
