"""Grafana dashboards read from files: their queries and variables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .shapes import ShapeError, cleaned, parsed, whole
from .variables import Variable

MOST_BYTES = 20 * 1024 * 1024
_DEEPEST = 20
"""Rows within rows; Grafana makes one of them."""
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
class Target:
    """One query of one panel, or of an annotation."""

    panel: str
    expression: str
    """As written in the board."""
    instant: bool = False
    step: str = ""
    """The shortest step, as written: ``$__rate_interval`` is at least four of it."""


@dataclass(frozen=True, slots=True)
class Board:
    """One dashboard."""

    title: str
    variables: tuple[Variable, ...] = ()
    targets: tuple[Target, ...] = field(default=())
    annotations: tuple[Target, ...] = ()
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
    annotations = tuple(_annotations(body.get("annotations")))
    templating = body.get("templating") or {}
    if not isinstance(templating, dict):
        raise ShapeError('its "templating" is no object')
    listed = _list(templating.get("list"), "its list of variables")
    variables = tuple(_variable(one) for one in listed if isinstance(one, dict))
    return Board(str(body.get("title") or path.stem), variables, targets, annotations)


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
                # A query's goes before the panel's.
                step = target.get("interval") or panel.get("interval") or ""
                yield Target(title, expression.strip(), bool(target.get("instant")), str(step))


def _annotations(body: Any) -> Iterator[Target]:
    listed = body.get("list") if isinstance(body, dict) else None
    for one in _list(listed, "its list of annotations"):
        if not isinstance(one, dict) or not one.get("enable", True):
            continue
        if _is_other(one.get("datasource")):
            continue
        # The older form has the query in the annotation itself.
        target = one["target"] if isinstance(one.get("target"), dict) else {}
        expression = target.get("expr") or one.get("expr")
        if isinstance(expression, str) and expression.strip():
            step = target.get("interval") or one.get("step") or ""
            title = f"annotation {one.get('name') or 'without name'}"
            yield Target(title, expression.strip(), step=str(step))


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
