"""Reads Grafana dashboards: queries, variables, and the values that Grafana shows first."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..arguments import CommandError
from .client import parse_json

_EVERYTHING = ".*"
_REFERENCE = re.compile(
    r"\$\{(?P<braced>\w{1,200})(?:\.\w{1,200})?(?::[^}]{0,200})?\}"
    r"|\[\[(?P<old>\w{1,200})(?::[^\]]{0,200})?\]\]|\$(?P<plain>\w+)"
)
_LABEL_VALUES = re.compile(
    r"\s*label_values\((?:(?P<of>.+),)?\s*(?P<label>[\w.]+)\s*\)\s*", re.DOTALL
)
_MOST, _LONGEST = 300, 2000
"""Variables that one query contains, and characters of a value."""
_OTHER_SOURCES = frozenset("loki tempo jaeger grafana elasticsearch influxdb".split())


class BoardError(CommandError):
    """A file cannot be used. The message gives the reason."""


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable of a board."""

    name: str
    kind: str
    """``query``, ``custom``, ``constant``, ``datasource``, ``interval``, ``textbox``, ..."""
    query: str = ""
    saved: str = ""
    """The value when the board was saved; empty for all."""
    all_value: str = ""
    """The value of *All*; empty if the variable has no *All*."""


@dataclass(frozen=True, slots=True)
class Target:
    """A query of a panel or of an annotation."""

    panel: str
    expression: str
    """The query as written in the board."""
    step: str = ""
    """The minimum step, as written: ``$__rate_interval`` is at least four steps."""


@dataclass(frozen=True, slots=True)
class Board:
    """A dashboard."""

    title: str
    variables: tuple[Variable, ...] = ()
    targets: tuple[Target, ...] = ()
    broken: str = ""
    """Why the file cannot be used; empty if it can."""


def read_boards(paths: Sequence[Path]) -> list[Board]:
    """Read the dashboards in files and folders. Raises BoardError.

    A folder can contain other JSON, but needs one dashboard. A file in it that cannot be used
    becomes a broken board, so that the others are still examined.
    """
    found: list[Board] = []
    for path in paths:
        files, read = [path], read_board
        if path.is_dir():
            files = [one for one in sorted(path.rglob("*.json")) if not one.is_dir()]
            read = _board_or_broken
        inside = [board for one in files if (board := read(one))]
        if all(board.broken for board in inside):
            why = "".join(f"; {board.broken}" for board in inside[:3])
            raise BoardError(f"no Grafana dashboard with a list of panels in {path}{why}")
        found += inside
    return found


def _board_or_broken(path: Path) -> Board | None:
    try:
        return read_board(path)
    except BoardError as error:
        return Board(path.name, broken=str(error))


def read_board(path: Path) -> Board | None:
    """Read the dashboard in a file; None if it has other JSON. Raises BoardError."""
    try:
        content = path.read_text(encoding="utf-8-sig", errors="replace")
        return _board(parse_json(content), path.stem)
    except (OSError, ValueError, RecursionError) as error:
        reason = "it is nested too deep" if isinstance(error, RecursionError) else error
        raise BoardError(f"can't use {path}: {getattr(error, 'strerror', reason)}") from None


def _board(body: Any, name: str) -> Board | None:
    for wrapper in ("dashboard", "spec"):  # Grafana's HTTP API and Kubernetes
        body = _dict(_dict(body).get(wrapper)) or body
    panels = _dict(body).get("panels", _dict(body).get("rows"))
    if not isinstance(panels, list):
        return None
    targets = [*_targets(panels), *_annotations(_dicts(_dict(body.get("annotations")).get("list")))]
    variables = map(_variable, _dicts(_dict(body.get("templating")).get("list")))
    return Board(str(body.get("title") or name), tuple(variables), tuple(targets))


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _targets(panels: Any) -> Iterator[Target]:
    for panel in _dicts(panels):
        yield from _targets(panel.get("panels"))
        title = str(panel.get("title") or "a panel without title")
        for target in _dicts(panel.get("targets")):
            step = target.get("interval") or panel.get("interval")
            if not target.get("hide") and _is_prometheus(panel) and _is_prometheus(target):
                yield from _target(title, target.get("expr"), step)


def _annotations(annotations: list[dict[str, Any]]) -> Iterator[Target]:
    for one in annotations:
        # The older form has the query in the annotation itself.
        target = {**one, **_dict(one.get("target"))}
        if one.get("enable", True) and _is_prometheus(one):
            step = target.get("interval") or one.get("step")
            title = f"annotation {one.get('name') or 'without name'}"
            yield from _target(title, target.get("expr"), step)


def _target(title: str, expression: Any, step: Any) -> Iterator[Target]:
    if isinstance(expression, str) and expression.strip():
        yield Target(title, expression.strip(), str(step or ""))


def _is_prometheus(owner: dict[str, Any]) -> bool:
    source = owner.get("datasource")
    kind = source.get("type") if isinstance(source, dict) else source
    return str(kind).lower().strip("- ") not in _OTHER_SOURCES


def _variable(body: Mapping[str, Any]) -> Variable:
    """Read a variable of a dashboard's JSON."""
    query, current = body.get("query"), body.get("current")
    text = str((query.get("query") if isinstance(query, dict) else query) or "")
    value = current.get("value", "") if isinstance(current, dict) else ""
    saved = "|".join(map(str, value)) if isinstance(value, list) else str(value)
    kind = str(body.get("type", ""))
    return Variable(
        str(body.get("name", "")),
        kind,
        text or str(body.get("definition") or ""),
        "" if saved in ("$__all", "All") else saved or text * (kind in ("constant", "textbox")),
        str(body.get("allValue") or _EVERYTHING) if body.get("includeAll") else "",
    )


def label_query(variable: Variable) -> tuple[str, str] | None:
    """Return label and selector of ``label_values(selector, label)``; None for other variables.

    The selector is empty for ``label_values(label)``.
    """
    match = _LABEL_VALUES.fullmatch(variable.query) if variable.kind == "query" else None
    return (match["label"], (match["of"] or "").strip()) if match else None


def first_value(variable: Variable, options: Sequence[str] | None = None) -> str:
    """Return what Grafana shows first: the saved value if it still exists, all, or the first one.

    ``options`` are the values in the store; None if the variable does not query it.
    """
    if variable.saved and (options is None or variable.saved in options):
        return variable.saved
    if variable.all_value or not options:
        return variable.all_value or ("5m" if variable.kind == "interval" else _EVERYTHING)
    return options[0]


def built_in(window: float, interval: float) -> dict[str, str]:
    """Return Grafana's own variables for a time range and a step, in seconds."""
    spans = {"interval": max(interval, 15), "range": window, "auto": max(interval, 15)}
    values = {"__rate_interval": f"{max(4 * interval, 60):.0f}s"}
    for name, span in spans.items():
        values[f"__{name}"] = f"{span:.0f}s"
        values |= {f"__{name}_s": f"{span:.0f}", f"__{name}_ms": f"{span * 1000:.0f}"}
    return values


def filled_in(text: str, values: Mapping[str, str]) -> str:
    """Replace the variables that have a value. A value can contain another variable."""

    def value(match: re.Match[str]) -> str:
        name = match["braced"] or match["old"] or match["plain"]
        return values.get(name, match[0])[:_LONGEST]

    return _REFERENCE.sub(value, _REFERENCE.sub(value, text, _MOST), _MOST)
