"""The variables of Grafana dashboards: what is chosen at first, and how it is put into a query."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_EVERYTHING = ".*"
_REFERENCE = re.compile(
    # Bounded, or a text of openings without a closing would be read once for each of them.
    r"\$\{(?P<braced>\w{1,200})(?:\.\w{1,200})?(?::[^}]{0,200})?\}"
    r"|\[\[(?P<old>\w{1,200})(?::[^\]]{0,200})?\]\]|\$(?P<plain>\w+)"
)
_LABEL_VALUES = "label_values("
_LONGEST = 100_000
"""Characters that values add to one query."""
_SPECIAL = re.compile(r"[.+*?()\[\]{}|^$\\]")


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

    @property
    def may_be_empty(self) -> bool:
        """Whether queries have answers without any value of it: all lets through what lacks it."""
        return self.has_all and self.all_value == _EVERYTHING


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
