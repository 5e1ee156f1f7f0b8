"""Layers above the pool: how many requests one call becomes, and how many calls a tool loop makes.

A snapshot has the latest failed requests, each with the begin of its call, but not what the call
asked. So only the rhythm of calls shows whether one repeats a failed one. If calls of a call site
overlap, nothing shows it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise

from opentelemetry.instrumentation.gluellm import thresholds
from opentelemetry.instrumentation.gluellm.snapshots.parts import CallsSnapshot, Failure
from opentelemetry.instrumentation.gluellm.text import call_site_text
from opentelemetry.instrumentation.gluellm.vocabulary import HTTP

from ..case import PoolCase
from ..findings import Finding, Kind
from ..severity import severity
from .timeouts import evidence_of

_Cases = Sequence[PoolCase]
_SAME = 1e-6
"""Seconds. Begins of one call differ by rounding only."""
_FEWEST_ROWS = 3
_MOST_SITES = 3
_PAUSE = 2.0
"""Pauses within a row are at most this many times the usual one."""
_OTHERS = "a loop or decorator around it, such as tenacity"


def requests_by_layer(calls: CallsSnapshot, failed: Iterable[Failure]) -> str:
    """Return how many requests one call became, for each call site where several layers retry."""
    of_site: dict[str, list[Failure]] = defaultdict(list)
    for one in failed:
        if one.call_site is not None:
            of_site[one.call_site].append(one)
    found = []
    fail = 2 * calls.outcomes.get("failed", 0) > calls.ended
    for site, its in of_site.items():
        made = _calls(its)
        most, row = max(number for *_, number in made), _row(made) if fail else 0
        inside = most > 1 and calls.source != HTTP
        if inside + bool(row) + bool(calls.attempts_repeated) > (calls.source != HTTP):
            found.append((most * (row or 1), most if inside else 1, row, site))
    return " ".join(_text(calls, *one) for one in sorted(found, reverse=True)[:_MOST_SITES])


def _text(calls: CallsSnapshot, requests: int, most: int, row: int, site: str) -> str:
    layers = []
    if row:
        client = "the client's own retries or " if calls.source == HTTP else ""
        layers.append(f"{row} by {client}{_OTHERS}")
    if most > 1:
        own = "GlueLLM and " if calls.attempts_repeated else ""
        layers.append(f"{most} by {own}the SDK")
    many = f"Up to {requests} requests for one call at {call_site_text(site)}"
    return f"{many}: {' x '.join(layers)}."


def _calls(failed: Iterable[Failure]) -> list[tuple[float, float, int]]:
    """Return begin, end and failed requests of each call, oldest first. Times are before now."""
    made: list[tuple[float, float, int]] = []
    for began, ended in sorted(((one.ago + one.age, one.ago) for one in failed), reverse=True):
        if made and made[-1][0] - began < _SAME:
            first, last, number = made.pop()
            made.append((first, min(last, ended), number + 1))
        else:
            made.append((began, ended, 1))
    return made


def _row(made: list[tuple[float, float, int]]) -> int:
    """Return how many calls in a row fail, again and again, before a longer pause; 0 if unknown."""
    pauses = [ended - began for (_, ended, _), (began, *_) in pairwise(made)]
    if not pauses or min(pauses) < 0:
        return 0
    usual = sorted(pauses)[(len(pauses) - 1) // 2]
    rows = [1]
    for pause in pauses:
        if pause <= _PAUSE * usual:
            rows[-1] += 1
        else:
            rows.append(1)
    # The first and the last one may be incomplete.
    ((row, times),) = Counter(rows[1:-1]).most_common(1) or [(0, 0)]
    return row if row > 1 and times >= max(_FEWEST_ROWS, 2 / 3 * len(rows[1:-1])) else 0


def tool_loop(calls: CallsSnapshot, cases: _Cases, earlier: CallsSnapshot) -> Finding | None:
    """Detect that one ``complete()`` of GlueLLM makes far more calls than earlier."""
    (number, each), (before, usual) = map(_turns, (calls, earlier))
    # Some loops are long by chance.
    enough = number >= thresholds.PARTLY_SLOW_REQUESTS and before >= thresholds.BASELINE_REQUESTS
    if not enough or each < thresholds.CALL_SLOWER * usual:
        return None
    answers = [one for case in cases if case.serves(calls.provider) for one in case.answers]
    return Finding(
        kind=Kind.TOOL_LOOP,
        severity=severity(slower=True),
        provider=calls.provider,
        source=calls.source,
        observed=f"On average, one complete() became {each:.2g} calls ({usual:.2g} before): "
        f"{calls.ended} calls in place of {round(number * usual)}.",
        evidence=evidence_of("The latest calls", answers),
        explanation="The model asks for tools again and again, and GlueLLM makes a further call "
        "for each answer that does, one after another. So complete() takes longer and costs more. "
        "Neither the pool nor the provider is the cause.",
        advice="Find the tool that makes the model ask again: tool_execution_history of the result "
        "has what each tool was asked and returned. Often it returns an error or nothing, or the "
        "prompt or the model has changed. To limit the turns, pass max_tool_iterations=N to "
        "gluellm.GlueLLM() or complete() (default: 10).",
    )


def _turns(calls: CallsSnapshot) -> tuple[int, float]:
    """Return how often ``complete()`` was called, and how many calls one made on average."""
    first = calls.ended - calls.turns
    return first, calls.ended / max(first, 1)
