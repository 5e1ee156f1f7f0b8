"""A board's variables, panels and annotations, with what Prometheus answers."""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from . import filling
from .filling import ALL, Span

Json = dict[str, Any]
_ANSWERS_WITHIN: Final = 30.0
_LABEL_VALUES: Final = re.compile(r"label_values\(\s*(?:(.+?)\s*,\s*)?(\w+)\s*\)", re.DOTALL)
_MARKS_STEP: Final = "60s"


class RefusedError(Exception):
    """Prometheus said no, and why; or nothing."""


@dataclass(frozen=True, slots=True)
class Store:
    """Prometheus' query API, or one like it."""

    url: str

    def ask(self, path: str, **parameters: str) -> Any:
        """The ``data`` of an answer. Raises RefusedError."""
        query = urllib.parse.urlencode({k.rstrip("_"): v for k, v in parameters.items()})
        try:
            with urllib.request.urlopen(
                f"{self.url.rstrip('/')}/api/v1/{path}?{query}", timeout=_ANSWERS_WITHIN
            ) as response:
                return json.load(response)["data"]
        except urllib.error.HTTPError as error:
            said = error.read().decode(errors="replace")
            raise RefusedError(f"{error.code}: {said}") from error
        except OSError as error:
            raise RefusedError(f"{self.url} doesn't answer: {error}") from error

    def over(self, expression: str, span: Span, step: float) -> list[Json]:
        """The series of a range query."""
        span = span.aligned(step)
        found: list[Json] = self.ask(
            "query_range",
            query=expression,
            start=f"{span.start:.3f}",
            end=f"{span.end:.3f}",
            step=f"{step:g}",
        )["result"]
        return found

    def at(self, expression: str, when: float) -> list[Json]:
        """The series of an instant query."""
        found: list[Json] = self.ask("query", query=expression, time=f"{when:.3f}")["result"]
        return found

    def label_values(self, label: str, selector: str | None, span: Span) -> list[str]:
        """What a label was in the span, sorted."""
        found = self.ask(
            f"label/{label}/values",
            start=f"{span.start:.3f}",
            end=f"{span.end:.3f}",
            **({"match[]": selector} if selector else {}),
        )
        return sorted(found)


@dataclass(frozen=True, slots=True)
class Variable:
    """One of the board's, as chosen."""

    name: str
    label: str
    text: str
    value: str
    hidden: bool


def variables(
    board: Json, given: Mapping[str, str], store: Store, span: Span
) -> Iterator[Variable]:
    """Each as given, else as the board has it, else the first that there is, in their order.

    Raises ValueError where one is given that the board doesn't have.
    """
    values: dict[str, str] = {}
    listed = board.get("templating", {}).get("list", [])
    names = [one["name"] for one in listed]
    for name in given:
        if name not in names:
            raise ValueError(f"{board['title']} has no variable {name!r}: {', '.join(names)}")
    for one in listed:
        known = _known(one, values, store, span)
        chosen = _chosen(one, given.get(one["name"]), known)
        several = one.get("multi") or one.get("includeAll")
        value = filling.matcher(chosen, one.get("allValue"), known) if several else "".join(chosen)
        values[one["name"]] = value
        text = "All" if ALL in chosen else " + ".join(chosen)
        if one["type"] == "datasource":
            text = "Prometheus"
        yield Variable(
            one["name"], one.get("label") or one["name"], text, value, one.get("hide", 0) == 2
        )


def _known(one: Json, values: Mapping[str, str], store: Store, span: Span) -> list[str]:
    query = one.get("query", "")
    query = filling.fill(query["query"] if isinstance(query, dict) else query, values)
    if one["type"] in ("custom", "interval"):
        return [option.split(" : ")[-1].strip() for option in query.split(",")]
    found = _LABEL_VALUES.fullmatch(query.strip()) if one["type"] == "query" else None
    if found is None:
        return [query] if query else []
    known = store.label_values(found[2], found[1], span)
    wanted = one.get("regex", "").strip("/")
    return [value for value in known if re.search(wanted, value)]


def _chosen(one: Json, given: str | None, known: Sequence[str]) -> list[str]:
    current = given.split(",") if given else one.get("current", {}).get("value")
    chosen = current if isinstance(current, list) else [current]
    chosen = [ALL if value in ("All", ".*") else value for value in chosen if value]
    return chosen or ([ALL] if one.get("includeAll") else list(known[:1])) or [""]


def panels(
    board: Json, values: Mapping[str, str], store: Store, span: Span, column: float
) -> Iterator[Json]:
    """Those to be seen, with ``targets`` that have a ``result``; ``column`` in pixels."""
    for panel in board["panels"]:
        filled = {**panel, "title": filling.fill(panel.get("title", ""), values)}
        targets = [one for one in panel.get("targets", []) if not one.get("hide")]
        points = panel.get("maxDataPoints") or int(column * panel["gridPos"]["w"])
        asked = [_asked(target, panel, values, store, span, points) for target in targets]
        errors = [one["error"] for one in asked if "error" in one]
        yield {**filled, "targets": asked, "error": "\n".join(errors) or None}


def _asked(
    target: Json, panel: Json, values: Mapping[str, str], store: Store, span: Span, points: int
) -> Json:
    minimum = filling.fill(target.get("interval") or panel.get("interval") or "", values)
    own = filling.windows(span, points, minimum.strip(">"))
    interval = filling.seconds(own["__interval"])
    expression = filling.fill(target["expr"], {**values, **own})
    answer: Json = {
        "refId": target["refId"],
        "legend": filling.fill(target.get("legendFormat", ""), values),
        "format": target.get("format", "time_series"),
        "interval": interval,
        "result": [],
    }
    try:
        if target.get("instant") and not target.get("range"):
            answer["result"] = store.at(expression, span.end)
        else:
            answer["result"] = store.over(expression, span, interval)
    except RefusedError as error:
        answer["error"] = f"{target['refId']}: {error}\n{expression}"
    return answer


def marks(board: Json, values: Mapping[str, str], store: Store, span: Span) -> Iterator[Json]:
    """Each with the ``times``, in milliseconds, at which something began."""
    for one in board.get("annotations", {}).get("list", []):
        if not one.get("expr") or not one.get("enable", True):
            continue
        minimum = filling.fill(one.get("step") or _MARKS_STEP, values)
        step = filling.seconds(minimum)
        own = filling.windows(span, int(span.seconds // step) or 1, minimum)
        found = store.over(filling.fill(one["expr"], {**values, **own}), span, step)
        times = {at for series in found for at in beginnings(series["values"], step)}
        yield {
            "name": one["name"],
            "color": one.get("iconColor", "blue"),
            "times": [at * 1000 for at in sorted(times)],
        }


def beginnings(samples: Sequence[tuple[float, str]], step: float) -> Iterator[float]:
    """When each event began, in seconds since the epoch."""
    # Samples of neighbouring steps are one event that lasts, as Grafana has it.
    before = float("-inf")
    for at, value in samples:
        if float(value):
            if at - before > step:
                yield at
            before = at
