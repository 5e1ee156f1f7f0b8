"""Grafana dashboards read from files: their queries, with the variables put in."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .shapes import ShapeError, cleaned, parsed, whole

MOST_BYTES = 20 * 1024 * 1024
_EVERYTHING = ".*"
_REFERENCE = re.compile(
    # Bounded, or a text of openings without a closing would be read once for each of them.
    r"\$\{(?P<braced>\w{1,200})(?:\.\w{1,200})?(?::[^}]{0,200})?\}"
    r"|\[\[(?P<old>\w{1,200})(?::[^\]]{0,200})?\]\]|\$(?P<plain>\w+)"
)
_LABEL_VALUES = "label_values("
_DEEPEST = 20
"""Rows within rows; Grafana makes one of them."""
_LONGEST = 100_000
"""Characters that values add to one query."""
_SPECIAL = re.compile(r"[.+*?()\[\]{}|^$\\]")
_NO_PROMETHEUS = (
    "loki",
    "tempo",
    "jaeger",
    "grafana",
    "-- grafana --",
    "elasticsearch",
    "influxdb",
)


class BoardError(ValueError):
    """A file can't be used; the message says why."""


class NoBoardError(BoardError):
    """The file is sound JSON, and no dashboard."""


@dataclass(frozen=True, slots=True)
class Variable:
    """One variable of a board."""

    name: str
    kind: str
    """``query``, ``custom``, ``constant``, ``datasource``, ``interval``, ``textbox``, ..."""
    query: str = ""
    chosen: tuple[str, ...] = ()
    """What was chosen when the board was saved; empty for all."""
    all_value: str = ""
    has_all: bool = False


@dataclass(frozen=True, slots=True)
class Target:
    """One query of one panel."""

    panel: str
    expression: str
    """As written in the board."""
    instant: bool = False


@dataclass(frozen=True, slots=True)
class Board:
    """One dashboard."""

    title: str
    variables: tuple[Variable, ...] = ()
    targets: tuple[Target, ...] = field(default=())
    broken: str = ""
    """Why the file can't be used; empty where it can."""


def read_boards(paths: Sequence[Path]) -> list[Board]:
    """The dashboards in files and in folders. Raises BoardError.

    A folder may hold other JSON as well, but one dashboard at least. A file in it that can't be
    used is a board that is broken, and does not keep the others from being looked at.
    """
    found: list[Board] = []
    for path in paths:
        if path.is_dir():
            inside = [board for file in _files(path) for board in _try(file)]
            if all(board.broken for board in inside):
                why = "".join(f"; {board.broken}" for board in inside[:3])
                raise BoardError(f"the folder {path} holds no Grafana dashboard (*.json){why}")
            found += inside
        elif path.exists():
            found.append(read_board(path))
        else:
            raise BoardError(f"there is no file or folder {path}")
    return found


def _files(folder: Path) -> list[Path]:
    return [file for file in sorted(folder.rglob("*.json")) if not file.is_dir()]


def _try(path: Path) -> list[Board]:
    try:
        return [read_board(path)]
    except NoBoardError:
        return []
    except BoardError as error:
        return [Board(path.name, broken=str(error))]


def read_board(path: Path) -> Board:
    """The dashboard in a file. Raises BoardError."""
    try:
        return _board(path, cleaned(parsed(_content(path)), _sound))
    except OSError as error:
        raise BoardError(f"{path} can't be read: {error.strerror}") from None
    except ShapeError as error:
        raise BoardError(f"{path} can't be used: {error}") from None
    except RecursionError:
        raise BoardError(f"{path} can't be used: it is nested too deep") from None


def _content(path: Path) -> bytes:
    # A pipe would be waited for, and a device has no end.
    if not path.is_file() and path.exists():
        raise ShapeError("it is no regular file")
    with path.open("rb") as file:
        body = file.read(MOST_BYTES + 1)
    if len(body) > MOST_BYTES:
        raise ShapeError(f"it is longer than {MOST_BYTES // 2**20} MiB")
    return body


def _sound(text: str) -> str:
    if whole(text) != text:
        raise ShapeError("it holds half a surrogate pair (\\ud800 to \\udfff), which is no text")
    return text


def _board(path: Path, body: Any) -> Board:
    if isinstance(body, dict):
        body = body.get("dashboard", body)  # as Grafana's HTTP API wraps it
    if isinstance(body, dict) and isinstance(body.get("spec"), dict):
        body = body["spec"]  # as a Kubernetes resource wraps it
    if not isinstance(body, dict) or not isinstance(body.get("panels", body.get("rows")), list):
        raise NoBoardError(
            f"{path} is no Grafana dashboard: it has no list of panels (export it as JSON, in the "
            "classic model)"
        )
    targets = tuple(_targets(body.get("panels") or body.get("rows") or []))
    templating = body.get("templating") or {}
    if not isinstance(templating, dict):
        raise ShapeError('its "templating" is no object')
    listed = _list(templating.get("list"), "its list of variables")
    variables = tuple(_variable(one) for one in listed if isinstance(one, dict))
    return Board(str(body.get("title") or path.stem), variables, targets)


def _list(value: Any, what: str) -> list[Any]:
    if not isinstance(value, list | None):
        raise ShapeError(f"{what} is no list")
    return value or []


def _targets(panels: Any, depth: int = 0) -> Iterator[Target]:
    if depth > _DEEPEST:
        raise ShapeError("its panels are nested too deep")
    for panel in _list(panels, "a list of panels"):
        if not isinstance(panel, dict):
            continue
        yield from _targets(panel.get("panels"), depth + 1)
        if _is_other(panel.get("datasource")):
            continue
        for target in _list(panel.get("targets"), "a panel's list of queries"):
            if not isinstance(target, dict) or _is_other(target.get("datasource")):
                continue
            expression = target.get("expr")
            if isinstance(expression, str) and expression.strip() and not target.get("hide"):
                title = str(panel.get("title") or "a panel without title")
                yield Target(title, expression.strip(), bool(target.get("instant")))


def _is_other(source: Any) -> bool:
    kind = source.get("type") if isinstance(source, dict) else source
    return isinstance(kind, str) and kind.lower() in _NO_PROMETHEUS


def _variable(body: dict[str, Any]) -> Variable:
    query = body.get("query", "")
    if isinstance(query, dict):
        query = query.get("query", "")
    current = body.get("current") or {}
    value = current.get("value", "") if isinstance(current, dict) else ""
    values = [str(one) for one in (value if isinstance(value, list) else [value])]
    chosen = [one for one in values if one not in ("", "$__all", "All")]
    kind = str(body.get("type", ""))
    if kind in ("constant", "textbox") and not chosen:
        chosen = [str(query)]
    return Variable(
        str(body.get("name", "")),
        kind,
        str(query or body.get("definition") or ""),
        tuple(chosen),
        str(body.get("allValue") or ""),
        bool(body.get("includeAll")),
    )


def built_in(window: float, interval: float) -> dict[str, str]:
    """Grafana's own variables, for a time range and an interval of samples in seconds.

    ``$__rate_interval`` is at least four intervals and one minute, as with a data source whose
    scrape interval is set to what it is.
    """
    step = f"{max(interval, 15):.0f}s"
    return {
        "__rate_interval": f"{max(4 * interval, 60):.0f}s",
        "__interval": step,
        "__interval_ms": f"{max(interval, 15) * 1000:.0f}",
        "__range": f"{window:.0f}s",
        "__range_s": f"{window:.0f}",
        "__range_ms": f"{window * 1000:.0f}",
        "__auto": step,
    }


def value_of(variable: Variable, options: Sequence[str] | None = None) -> str:
    """What Grafana puts in for a variable at first: the saved choice, all, or the first option.

    ``options`` are the values that the store has, None where it was not asked.
    """
    chosen = [one for one in variable.chosen if options is None or one in options]
    if not chosen and not variable.has_all and options:
        chosen = [options[0]]
    if not chosen:
        if variable.kind == "interval":
            return "5m"
        return variable.all_value or _EVERYTHING
    if len(chosen) == 1 and not variable.has_all:
        return chosen[0]
    return "|".join(_SPECIAL.sub(_escaped, one) for one in chosen)


def _escaped(match: re.Match[str]) -> str:
    # Twice: once for the regular expression, once for the string that it stands in.
    special = match[0]
    return "\\\\" + ("\\\\" if special == "\\" else special)


def filled_in(text: str, values: Mapping[str, str]) -> str:
    """The query with values for its variables; what has none stays as it is."""
    left = _LONGEST

    def put(match: re.Match[str]) -> str:
        nonlocal left
        value = values.get(match["braced"] or match["old"] or match["plain"], match[0])
        left -= len(value)
        return value if left > 0 else match[0]

    # A variable's value may be written with another variable.
    return _REFERENCE.sub(put, _REFERENCE.sub(put, text))


def unknown_variables(text: str, variables: Sequence[Variable]) -> list[str]:
    """Variables of a query that the board does not define and Grafana does not have."""
    known = {variable.name for variable in variables}
    names = {
        match["braced"] or match["old"] or match["plain"] for match in _REFERENCE.finditer(text)
    }
    return sorted(name for name in names - known if not name.startswith("__"))


def label_query(variable: Variable) -> tuple[str, str] | None:
    """Label and selector of ``label_values(selector, label)``; None for any other variable.

    The selector is empty for ``label_values(label)``.
    """
    if variable.kind != "query":
        return None
    query = variable.query.strip()
    if not query.startswith(_LABEL_VALUES) or not query.endswith(")"):
        return None
    of, comma, label = query[len(_LABEL_VALUES) : -1].rpartition(",")
    of, label = of.strip(), label.strip()
    if not re.fullmatch(r"[\w.]+", label) or (comma and not of):
        return None
    return label, of
