"""What the callers of an act see, and whose fault it is."""

from __future__ import annotations

import re
import time
import traceback
from collections import Counter, deque
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from gluellm_diagnosis.findings import UNEXPLAINED, Kind

from ..text import printable
from ..view import Subject, View

_ABOVE_PACKAGE = re.compile(r"\S*[\\/](?=gluellm_pools[\\/]demo[\\/])")
_RECENT = 5.0
"""Seconds that the callers' row looks back."""
_AT_FAULT: Mapping[str, str] = {
    Kind.POOL_TOO_SMALL: "the pool",
    Kind.POOL_SATURATED: "the pool",
    Kind.SLOW_PROVIDER: "the provider",
    Kind.CONNECT_FAILURES: "the provider",
    Kind.REUSE_FAILURES: "the provider",
    Kind.CLOSED_UNANSWERED: "the provider",
    Kind.TRUNCATED_ANSWERS: "the provider",
    Kind.READ_TIMEOUT: "the provider or the timeout",
    Kind.RETRIES: "the provider",
    Kind.STALLED_STREAMS: "the provider",
    Kind.SILENT_CONNECTIONS: "the network",
    Kind.SLOW_UPLOAD: "the network",
    Kind.HTTP2_STUCK: "the HTTP library",
    Kind.BLOCKED_EVENT_LOOP: "the program or the machine",
    **dict.fromkeys(UNEXPLAINED, ""),
}
"""By kind; empty if the cause is unknown. All others are the program's own."""


@dataclass(slots=True)
class Symptoms:
    """The latest calls of one target, as the callers see them."""

    recent: deque[tuple[float, float, str]] = field(default_factory=lambda: deque(maxlen=500))
    """When calls ended, how long they took, and their error or an empty string."""

    def text(self, provider: str) -> tuple[str, str]:
        """Return what callers see at the moment, in words, and the error in it if there is one."""
        since = time.monotonic() - _RECENT
        recent = [(seconds, error) for ended, seconds, error in self.recent if ended >= since]
        if not recent:
            return f"no call to {provider} has ended recently", ""
        mean = _rounded(sum(seconds for seconds, _ in recent) / len(recent))
        text = f"calls to {provider} now take ~{mean}"
        errors = Counter(error for _, error in recent if error)
        if not errors:
            return f"{text}, and none fails", ""
        error = errors.most_common(1)[0][0]
        how_many = "all" if errors.total() == len(recent) else "some"
        return f"{text}, and {how_many} fail: {error}", error


def _rounded(seconds: float) -> str:
    """Round so that equal loads read the same: to 0.1 s, and from 0.45 s on to half seconds."""
    return f"{max(seconds, 0.1):.1f} s" if seconds < 0.45 else f"{round(2 * seconds) / 2:g} s"


def error_text(error: BaseException) -> str:
    """Return type and message, as the last line of a traceback has them."""
    return traceback.format_exception_only(error)[0].strip()


def explanation(error: BaseException) -> list[str]:
    """Return the error with its causes and then their notes; empty without a note."""
    chain: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in chain:
        chain.append(link)
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
    notes = [note for link in chain for note in getattr(link, "__notes__", ())]
    return [" <- ".join(map(error_text, chain)), *notes] if notes else []


class Cause(NamedTuple):
    """The cause of what callers see, as the process found it."""

    text: str
    kind: str = ""
    """Kind of the finding; empty if there is none."""
    at_fault: str = ""
    """Party at fault; empty if unknown or if nothing is wrong."""
    is_whole: bool = False
    """Whether its log record, which has the evidence, has arrived as well as its metric."""


NOT_JUDGED = Cause("not judged yet")
NOBODY = Cause("nobody: the process has no finding")


def cause_of(view: View, subjects: Collection[Subject], expected: Collection[str]) -> Cause:
    """Return the cause by the worst finding on these subjects; of several, an expected one."""
    if not view.judgements:
        return NOT_JUDGED
    findings = [one for subject in subjects for one in view.findings.get(subject, ())]
    if not findings:
        return NOBODY
    found = min(findings, key=lambda one: (one.severity, one.kind not in expected))
    at_fault = _AT_FAULT.get(found.kind, "the program")
    text = ": ".join(filter(None, (at_fault, found.kind.replace("_", " "), found.text)))
    return Cause(text, found.kind, at_fault, bool(found.text))


def short(text: str, longest: int) -> str:
    """Return the text's first line, with paths from the package on."""
    return printable(shortened(text.partition("\n")[0]), longest)


def shortened(text: str) -> str:
    """Return the text with paths from the package on."""
    return _ABOVE_PACKAGE.sub("", text)
