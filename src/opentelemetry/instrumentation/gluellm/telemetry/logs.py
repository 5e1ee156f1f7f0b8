"""Log lines for people. The finalizer rule (pool/lease.py): no finalizer calls this module."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from .. import thresholds
from ..environment import ENVIRONMENT_PREFIX
from ..failures import Failures, warn, warn_once
from ..patching import Hooks
from ..pool.describe import LONGEST, duration_text, label, whose
from ..pool.durations import SECOND, nanoseconds
from ..pool.lease import Lease
from ..pool.observer import PoolObserver
from ..text import call_site_text, counted, one_line
from ..watch.judgement import ERROR, Active, Found, subject_of
from . import semconv
from .semconv import SCOPE_NAME

_logger = logging.getLogger(SCOPE_NAME)
_LOGGED_EVERY = nanoseconds(thresholds.LOG_AGAIN_AFTER)


def warn_of_missing_hooks(hooks: Hooks) -> None:
    """Log a WARNING for each hook that the installed version lacks, once per process."""
    for hook in hooks.missing():
        warn_once(
            f"{hooks.library} ({hooks.version}) lacks the hook {hook!r}, so this is not observed: "
            f"{hooks.signals.get(hook, hook)}. Requests are not affected."
        )


def write_report(text: str) -> None:
    """Log a report that a signal requested, at WARNING so that it appears by default."""
    _logger.warning("%s", text)


def log_requests_outside(requests: int, scope: str) -> None:
    """Log an INFO that all requests so far were out of scope, with the setting to include them."""
    warn(
        "%s went through pools outside the scope %s, and none through a pool in it. To observe "
        'them, set %sSCOPE=all or call instrument(scope="all").',
        counted(requests, "request"),
        scope,
        ENVIRONMENT_PREFIX,
        level=logging.INFO,
    )


def warn_of_unobserved(libraries: Iterable[str]) -> None:
    """Log a WARNING for each imported library whose requests are not observed, once per process."""
    for library in libraries:
        warn_once(f"{library} is imported: its requests and calls are not observed.")


def warn_of_failures(failures: Failures) -> None:
    """Log a WARNING for each new kind of failure of the instrumentation.

    It has the exception's type but not its message, which may contain a URL or a header.
    """
    for kind, error in failures.unreported():
        warn(
            "The instrumentation failed in %s with %s; counted in gluellm.instrumentation.errors. "
            "Requests are not affected.",
            kind,
            one_line(error),
        )


@dataclass(slots=True)
class _Leaks:
    """Suspected leaks of one call site."""

    logged_at: int = 0
    """Time of the last warning; 0 before the first."""
    unreported: int = 0
    """Number of leaks since the last warning."""
    passes: int = 0
    """Passes of the watch since the first unreported leak."""
    longest: Lease | None = None
    """Longest-held lease of the unreported leaks; None if there are none."""
    since: int = 0
    """Time since which that lease is unread."""
    over: bool = False
    """Whether its suspicion is over."""


class WatchObserver(PoolObserver):
    """Observer that logs what the watch finds, at a limited rate, in the watch's thread."""

    def __init__(self) -> None:
        self.metrics_lost: Callable[[], bool] = lambda: False
        """Function that returns whether spans are recorded and metrics are not."""
        self._leaks: dict[object, _Leaks] = {}

    def forget(self) -> None:
        """Allow all warnings again. In a forked child, earlier ones are in the parent's log."""
        self._leaks.clear()

    def leak_suspected(self, lease: Lease, since: int) -> None:
        call_site = lease.call_site
        key: object = call_site.key if call_site is not None else None
        if key not in self._leaks and len(self._leaks) >= _MOST_CALL_SITES:
            key = None
        leaks = self._leaks.setdefault(key, _Leaks())
        leaks.unreported += 1
        longest = leaks.longest
        if longest is None or leaks.over or lease.acquired_at < longest.acquired_at:
            leaks.longest, leaks.since, leaks.over = lease, since, False

    def watch_passed(self) -> None:
        if self.metrics_lost():
            self.metrics_lost = lambda: False
            warn_once(
                "There is a TracerProvider but no MeterProvider: spans are recorded, metrics are "
                "not. Call opentelemetry.metrics.set_meter_provider(), or pass meter_provider= to "
                "instrument()."
            )
        for leaks in self._leaks.values():
            lease = leaks.longest
            if lease is None:
                continue
            leaks.passes += 1
            if leaks.passes < _PASSES:
                continue
            now = lease.tracker.clock()
            if not leaks.logged_at or now - leaks.logged_at >= _LOGGED_EVERY:
                number, leaks.unreported = leaks.unreported, 0
                leaks.longest = None
                leaks.passes = 0
                leaks.logged_at = now
                _warn_of_leak(lease, now, number, None if leaks.over else leaks.since)

    def leak_over(self, lease: Lease, how: str) -> None:
        for leaks in self._leaks.values():
            if leaks.longest is lease:
                leaks.over = True
        unit = lease.tracker.held_unit
        what = {
            "released": f"its {unit} was released",
            "read": "its response is read again",
            "closed": f"its {unit} was closed with the pool",
        }[how]
        now = lease.ended_at or lease.tracker.clock()
        _logger.info(
            "Suspected leak in pool %s is over: %s after %s (%s).",
            label(lease.tracker),
            what,
            duration_text(now - lease.acquired_at),
            whose(lease),
        )


class FindingObserver(PoolObserver):
    """Observer that logs findings of the process's own diagnosis, in the watch's thread.

    At most one record a minute for findings that begin or rise, the worst first, and one in ten
    minutes for a kind, subject and severity. Those that end while they wait are not logged.
    """

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self.forget()

    def forget(self) -> None:
        """Forget all findings, in a forked child."""
        self._waiting: list[Active] = []
        self._logged: dict[object, int] = {}
        self._open: set[Active] = set()
        """Findings whose begin was logged and whose end was not yet."""
        self._last = 0

    def finding_began(self, active: Active) -> None:
        if active not in self._waiting:
            self._waiting.append(active)

    def finding_ended(self, active: Active, now: int) -> None:
        if active in self._waiting:
            self._waiting.remove(active)
        if active in self._open:
            self._open.remove(active)
            _logger.info(
                "Finding ended (PID %d): %s, after %s.",
                os.getpid(),
                title_of(active.finding),
                duration_text(now - active.began_at),
                extra=_attributes_of(active),
            )

    def watch_passed(self) -> None:
        if not self._waiting:
            return
        now = self._clock()
        if self._last and now - self._last < _BETWEEN_FINDINGS:
            return
        active = min(self._waiting, key=lambda one: one.severity != ERROR)
        self._waiting.remove(active)
        finding = active.finding
        key = (finding.kind, subject_of(finding), active.severity)
        self._logged = {k: at for k, at in self._logged.items() if now - at < _LOGGED_EVERY}
        if key in self._logged:
            return
        self._last = self._logged[key] = now
        self._open.add(active)
        _logger.warning(
            "Finding (%s, PID %d): %s: %s\n%s",
            active.severity,
            os.getpid(),
            title_of(finding),
            one_line(finding.observed, _LONGEST_ADVICE),
            finding,
            extra=_attributes_of(active),
        )


def title_of(finding: Found) -> str:
    """Return kind and subject of a finding: ``leak in openai/httpx2``."""
    subject = finding.pool or finding.provider
    where = f" in {one_line(subject, LONGEST)}" if subject else ""
    return f"{finding.kind.replace('_', ' ')}{where}"


def _attributes_of(active: Active) -> dict[str, str]:
    """Attributes by which a record and the series of the finding join."""
    finding = active.finding
    found = {
        semconv.EVENT_NAME: semconv.FINDING_EVENT,
        semconv.FINDING_KIND: str(finding.kind),
        semconv.FINDING_SEVERITY: active.severity,
        semconv.POOL_NAME: (finding.pool or "").removesuffix(f"/{finding.library}"),
        semconv.POOL_LIBRARY: finding.library,
        semconv.PROVIDER_NAME: semconv.registered_provider_name(finding.provider or ""),
        semconv.CALL_SOURCE: finding.source,
    }
    return {key: value for key, value in found.items() if value}


_BETWEEN_FINDINGS = 60 * SECOND
_PASSES = 2
"""Passes of the watch before a warning, so that leaks of one burst are reported together even if
they are found in two passes."""
_LONGEST_ADVICE = 500
_MOST_CALL_SITES = 500
"""Call sites with leak warnings of their own. Leaks of all further call sites share one."""


def _warn_of_leak(lease: Lease, now: int, number: int, since: int | None) -> None:
    stack = lease.call_site.frames if lease.call_site is not None else ()
    if since is not None:
        what = (
            f"the response has been unread for {duration_text(now - since)}, and its "
            f"{lease.tracker.held_unit} held for {duration_text(now - lease.acquired_at)}"
        )
    else:
        what = "the response was unread past the threshold and has since been released"
    _logger.warning(
        "%s leak suspected in pool %s: %s (%s). New leaks from this call site: %d. Read the "
        "stream to its end, or %s it.%s",
        lease.tracker.held_unit.capitalize(),
        label(lease.tracker),
        what,
        whose(lease),
        number,
        lease.tracker.release_verb,
        "".join(f"\n  {call_site_text(frame, LONGEST)}" for frame in stack),
    )
