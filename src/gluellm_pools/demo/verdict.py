"""What the callers of an act see, and whose fault it is."""

from __future__ import annotations

import re
import time
import traceback
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from gluellm_diagnosis.findings import UNEXPLAINED, Finding, Kind, Severity

from ..text import printable
from ..verdicts import CallsVerdict

_ABOVE_PACKAGE = re.compile(r"\S*[\\/](?=gluellm_pools[\\/]demo[\\/])")
_RECENT = 5.0
"""Seconds that the callers' row looks back."""
_AT_FAULT = {
    Kind.POOL_TOO_SMALL: "the pool",
    Kind.POOL_SATURATED: "the pool",
    Kind.SLOW_PROVIDER: "the provider",
    Kind.CONNECT_FAILURES: "the provider",
    Kind.REUSE_FAILURES: "the provider",
    Kind.CLOSED_UNANSWERED: "the provider",
    Kind.TRUNCATED_ANSWERS: "the provider",
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


def main_finding(findings: Sequence[Finding], pool: str) -> Finding | None:
    """Return the first cause, preferably of this pool or of the process."""
    causes = [finding for finding in findings if finding.severity is not Severity.INFO]
    return next((f for f in causes if f.pool in (pool, None)), causes[0] if causes else None)


class Cause(NamedTuple):
    """The cause of what callers see."""

    text: str
    at_fault: str = ""
    """Party at fault; empty if unknown or if nothing is wrong."""
    advice: str = ""


NOT_KNOWN = Cause("not known yet")


def cause_of(finding: Finding | None, calls: CallsVerdict | None, error: str) -> Cause:
    """Return the cause that `diagnose` finds or, without one, the cause that the calls show."""
    if finding is not None:
        kind = finding.kind.replace("_", " ")
        at_fault = _AT_FAULT.get(finding.kind, "the program")
        text = f"{at_fault}: {kind}" if at_fault else kind
        return Cause(f"{text}. {finding.observed}", at_fault, finding.advice)
    if calls is not None and calls.at_fault:
        text = calls.text[0].upper() + calls.text[1:]
        return Cause(f"{calls.at_fault}. {text}.", calls.at_fault)
    return NOT_KNOWN if error else Cause("nobody: calls and pools show no problem")


def short(text: str, longest: int) -> str:
    """Return the text's first line, with paths from the package on."""
    return printable(_ABOVE_PACKAGE.sub("", text.partition("\n")[0]), longest)
