"""Diagnosis by accounting: is anything wrong, where did it go, and which finding explains it.

Every second of a call is in one stage or phase, and every call has one outcome. So whatever the
cause, it shows here, also if no rule knows it. Calls of one provider and library are compared with
the time before; where no calls are known, the requests of a pool name are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from opentelemetry.instrumentation.gluellm import thresholds
from opentelemetry.instrumentation.gluellm.snapshots.parts import (
    PROVIDERS_PART,
    CallsSnapshot,
    Failure,
    RequestSnapshot,
    number_of,
)
from opentelemetry.instrumentation.gluellm.snapshots.snapshot import Snapshot
from opentelemetry.instrumentation.gluellm.snapshots.windows import Window, Windows, named
from opentelemetry.instrumentation.gluellm.text import (
    counted,
    one_line,
    percent,
    period_text,
    seconds,
    with_outcome,
)
from opentelemetry.instrumentation.gluellm.vocabulary import CALLS, OUTCOMES, Item, Subject

from .advice.servers import CONNECT_HELP, SET_UP_HELP
from .case import Activity, activity_of
from .findings import Fact, Finding, Kind, Part, PartKind, Severity, observed_text, results, times
from .rules.timeouts import TIME_LIMIT, at_one_age, evidence_of, time_limit
from .severity import severity
from .table import EXPLAINS, TIMES_OUT, Failed, attempt

_WAITS = ("limited", "preparing", "backoff", "queued", "connecting", "stream_queued")
"""Stages and phases in which a healthy call never spends long."""
_HOLDERS = "See in the snapshot which requests hold the connections, and for how long."
_PROVIDER_SLOW = (
    "Check the provider's status page. Has the model changed, or the length of answers?"
)
_ANSWERED = Part("manner", "answered")
_CUT = Part("manner", "cut")
_UNDECODABLE = Part("manner", "undecodable")
"""Parts of calls that fail although their requests were served: after the answer, or during it."""
_UNSENT = Part("manner", "unsent")
_DECODING = ("DecodingError", "DecodeError", "ContentDecodingError", "ClientPayloadError")
"""Exceptions of HTTP libraries that cut an answer whose Content-Encoding is wrong. aiohttp's is an
error of the connection if that was closed."""
_REDIRECTED = Part("manner", "redirected")
_TIMED = Part("manner", "timed")
_EXCEPTION = "Find this error in the application's log: its traceback names the line."
_REFUSALS = {
    "400": (
        "something in them is not accepted, such as a parameter, a model or too long a prompt",
        "The body of the answer names the reason. Compare the requests with those that succeed.",
    ),
    "401": (
        "the API key is missing, wrong or no longer valid",
        "Check which key the process sends, also after a rotation, and to which base URL.",
    ),
    "403": (
        "the key may not use this model, project or region, or a firewall blocks them",
        "The body of the answer names the reason. Check the permissions of the key.",
    ),
    "404": (
        "there is no such model or path",
        "Check the model's name and the base URL: often /v1 is missing, or there twice.",
    ),
    "405": ("this path does not accept their method", "Check the base URL."),
    "408": ("they did not arrive in time", "Look for a slow uplink or proxy, and send less."),
    "409": ("they conflict with others", "The body of the answer names the resource."),
    "413": (
        "their body is too large",
        "Send less history and smaller files, or raise the limit (nginx: client_max_body_size).",
    ),
    "414": ("their URL is too long", "Send what it contains in the body."),
    "421": (
        "the server that they reach does not serve this host",
        "Check the base URL, the Host header and the gateway's routes.",
    ),
    "429": (
        "the rate limit, the quota or the credit is used up",
        "Send fewer requests at a time. If none succeeds, check the account's quota and credit.",
    ),
    "431": (
        "their headers are too large: cookies that the client collects, or a long token",
        "Look at the headers that are sent. If Cookie grows, let the client keep no cookies.",
    ),
}
_REFUSALS["422"] = _REFUSALS["400"]
"""What a status means, as the end of a sentence on the requests, and where to look."""


def _of(kind: PartKind, **texts: str) -> dict[Part, str]:
    return {Part(kind, name): text for name, text in texts.items()}


_NEXT: dict[Part, str] = {
    **_of(
        "time",
        limited="Compare GlueLLM's calls per minute with what the provider allows.",
        preparing="Look for clients that are built for each call, a full thread pool, "
        "credentials that the SDK fetches before each call, and other work before it: py-spy "
        "dump shows it.",
        backoff="See in the snapshot which errors the requests end in: calls pause after them.",
        finishing="Look at what the application does between the answer and the end of the call.",
        connecting="Check the route to the provider: resolver, proxy, TLS.",
        unread="Find out what the application does between the chunks of an answer.",
    ),
    **_of(
        "result",
        invalid_response="Look at an answer: curl -si URL. If a header is too long, shorten "
        "it at the gateway, or raise the client's limit (aiohttp.ClientSession: "
        "max_field_size, max_line_size). Else check scheme, port and proxy.",
        invalid_request="Look at the headers: a line break at the end of an API key that "
        "was read from a file is frequent. Else compare Content-Length with the body.",
    ),
    _ANSWERED: "Look at one answer: curl -si URL shows its Content-Type and body. If it is HTML, "
    "check the base URL and the gateway. Else compare it with what the call expects "
    "(response_format, its schema, tool arguments). Did max_tokens cut it? Did the model change? "
    "The traceback of this error in the application's log names the line.",
    _UNDECODABLE: "Compare the answers of the gateway's instances and of the provider: curl -si "
    "URL shows Content-Encoding and the body. Until it is fixed, send Accept-Encoding: identity.",
    _CUT: f"{_EXCEPTION} If it is the provider's, check its status page. No SDK repeats a "
    "request whose stream has begun, so let the application repeat it.",
    _UNSENT: f"{_EXCEPTION} Compare the arguments with those of calls that succeed.",
    _REDIRECTED: "Compare the URL with the redirect's Location (curl -si URL shows it): often a "
    "slash at the end, https or another host. Set the base URL so that nothing is redirected.",
    _TIMED: TIME_LIMIT[1],
    **_of("result", **{status: advice for status, (_, advice) in _REFUSALS.items()}),
    **dict.fromkeys(times("queued", "stream_queued") | results("pool_timeout"), _HOLDERS),
    **dict.fromkeys(times(*PROVIDERS_PART, "requesting"), _PROVIDER_SLOW),
    Part("result", "read_timeout"): _PROVIDER_SLOW,
    **_of(
        "step", **{step: f"{how[:1].upper()}{how[1:]}." for step, (_, how) in SET_UP_HELP.items()}
    ),
}
"""What to look at next, by part of the account."""
_ON_PURPOSE = (
    "Does the application cancel them on purpose, such as the slower one of two requests? Then "
    "nothing is wrong. "
)
_REFUSED = "Check the API key, the model's name, the base URL, and what the request contains."
_PROVIDER_FAILS = "Check the provider's status page, or the log of a gateway on the path."
_UNKNOWN = "The cause is unknown. The numbers observed show where calls fail or spend their time."
_REFUSES = "The provider, or a gateway on the path, refuses these requests"
_EXPLANATIONS: dict[Part, str] = {
    **_of(
        "result",
        invalid_response="The client cannot parse the head of these answers, and closes the "
        "connection. A status 400 in its exception is not the server's. Possible causes: a "
        "gateway adds a header that is too long for the client (aiohttp: over 8190 bytes, "
        "http.client: 65536, h11: 100 KiB for all headers); or the other end does not speak "
        "HTTP/1.1 on this port.",
        invalid_request="The HTTP library does not send these requests: they are not valid HTTP.",
    ),
    _ANSWERED: "The provider, or a gateway in front of it, answers with a status of success. "
    "Afterwards, in the stage finishing and before any retry, the exception is raised: the answer "
    "is not what the SDK or the application expects. It may be an HTML page of a gateway (sign-in, "
    "error), an answer of another API (wrong base URL), JSON that does not match the schema of a "
    "structured output, or a stream that reports an error.",
    _UNDECODABLE: "These answers are not in the encoding that their Content-Encoding header names "
    "(gzip, for example): the provider, or a gateway on the path, sends them. If only some answers "
    "are affected, one of several instances is at fault. Neither the pool nor the network is the "
    "cause.",
    _CUT: "Answers begin successfully, and the exception is raised while they are read: by the "
    "SDK, for an error in the stream (overloaded_error) or a chunk that it cannot use, or by the "
    "application. The pool is not the cause.",
    _UNSENT: "These calls fail before a request is sent, so neither the provider nor the network "
    "nor the pool is involved. The SDK refuses an argument or a setting (max_tokens that needs "
    "streaming, a missing key), its client is closed, or the application raises the exception.",
    _REDIRECTED: "Clients follow a redirect with GET and without a body. The new URL refuses that.",
    _TIMED: TIME_LIMIT[0],
    **_of("result", **{code: f"{_REFUSES}: {means}." for code, (means, _) in _REFUSALS.items()}),
}
_TO_GET = (301, 302, 303)
"""Statuses after which clients send GET (RFC 9110, 15.4). They repeat the method after 307, 308."""
_REDIRECTS = (*_TO_GET, 307, 308)
_MOST_ERRORS = 3
_NOTICED, _MUCH = 0.1, 1 / 3
"""Share of a difference from which a part of it is named, and from which a finding that explains
this part explains the whole."""
_SEVERITIES = list(Severity)


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that calls suffer from, beyond its limit."""

    finding: Finding
    """How much, and where; it stands alone unless another finding explains it."""
    pools: tuple[str, ...]
    """Name and library of the pools that serve the calls."""
    parts: frozenset[Part]
    """The largest parts of the account. A cause has to explain at least one of these."""
    counts: frozenset[int] = frozenset()
    """Numbers of calls and requests that the finding's text states."""
    needs_cause: bool = False
    """Whether the finding is dropped if no other one explains it. Longer streams at the same
    speed, and streams that are cancelled while items arrive, are no trouble by themselves."""


@dataclass(frozen=True, slots=True)
class _Side:
    """Calls and their requests in one period. Where no calls are known, both are the requests."""

    own: Counter[Item]
    requests: Activity
    running: Counter[float] = field(default_factory=Counter)
    """Calls in flight by their time so far; empty for a period that is over."""

    @property
    def period(self) -> float:
        return self.requests.period

    @property
    def results(self) -> Counter[str]:
        """Requests that were not served, by error type or status."""
        found: Counter[str] = Counter()
        for one in self.requests.outcomes:
            if not one.served:
                found[str(one.error or one.status)] += one.count
        return found

    def redirected(self, statuses: Sequence[int]) -> int:
        """Return the number of answers with these statuses."""
        return sum(one.count for one in self.requests.outcomes if one.status in statuses)

    @property
    def outcomes(self) -> Counter[str]:
        if self.own is not self.requests.items:
            return Counter(named(self.own, "outcome"))
        failed, cancelled = self.errors.total(), self.results["cancelled"]
        # Another request follows each redirect.
        succeeded = self.requests.left - self.redirected(_REDIRECTS) - failed - cancelled
        return Counter(succeeded=succeeded, cancelled=cancelled, failed=failed)

    @property
    def errors(self) -> Counter[str]:
        """Calls that failed, by error type."""
        if self.own is not self.requests.items:
            return Counter(named(self.own, "error"))
        errors: Counter[str] = self.results + self.requests.named("cut")
        del errors["cancelled"]
        return errors

    @property
    def took(self) -> Counter[float]:
        """Calls by the upper bound of their duration or, in flight, of their time so far."""
        return Counter(named(self.own, "took")) + self.running

    @property
    def ended(self) -> int:
        return int(named(self.own, "took").total())

    @property
    def number(self) -> int:
        """Number of calls by which their time is divided, as in GlueLLMCallsSlow."""
        return max(self.ended, self.running.total(), 1)

    @property
    def times(self) -> Any:
        """Counter of the seconds by stage, those of ``requesting`` by phase."""
        phases, stages = +self.requests.named("phase"), named(self.own, "stage")
        if self.own is self.requests.items or not phases:
            return phases or +stages
        share = stages.pop("requesting", 0.0) / phases.total()
        return stages + Counter({phase: time * share for phase, time in phases.items()})


def _troubles_of(*group: Any) -> list[Trouble]:
    return _Group(*group).troubles()


def troubles(snapshot: Snapshot, compared: Windows, failed: Failed) -> list[Trouble]:
    """Return what calls suffer from, the most severe first. At most two of each group of calls."""
    subjects = list(compared.recent.numbers)
    calls = [subject for subject in subjects if subject[0] == CALLS]
    known = {provider for _, _, provider in calls}
    others = {
        (label, None, None)
        for label, origin, provider in subjects
        if label != CALLS and origin is not None and provider not in known
    }

    found: list[Trouble] = []
    for subject in (*calls, *sorted(others)):
        found += attempt(failed, [], _troubles_of, snapshot, compared, subject, known)
    return sorted(found, key=lambda trouble: _SEVERITIES.index(trouble.finding.severity))


class _Group:
    """Calls to one provider through one library, or requests of a pool name.

    The ``subject`` is that of the calls or of the pool name. Requests to providers in ``known``
    belong to calls.
    """

    def __init__(
        self, snapshot: Snapshot, compared: Windows, subject: Subject, known: set[str | None]
    ) -> None:
        self._snapshot, self._subject, self._known = snapshot, subject, known
        self._of_calls = subject[0] == CALLS
        self._numbers = compared.recent.numbers
        self._pools = tuple(sorted({each[0] for each in self._numbers if self._mine(each)}))
        pools = [pool for pool in snapshot.pools if pool.label in self._pools]
        self._requests = [request for pool in pools for request in pool.requests]
        self._calls: CallsSnapshot | None = None
        self._counts: set[int] = set()
        """Numbers of calls and requests that its texts state so far."""
        self._to = f"requests in {one_line(subject[0])}"
        running: Counter[float] = Counter()
        for request in self._requests:
            running[request.age] += request.number
        if self._of_calls:
            self._to = f"calls to {one_line(subject[2] or 'an unknown provider')}"
            its = [c for c in snapshot.process.calls if (c.source, c.provider) == subject[1:]]
            self._calls = its[0] if its else None
            running = Counter(its[0].ages if its else ())
        self._now = self._side(compared.recent, running)
        self._quiet = self._side(compared.quiet, running)
        self._latest_minute = self._side(compared.latest, running)
        before = compared.before
        self._before = self._side(before, Counter()) if before else None

    def _mine(self, subject: Subject) -> bool:
        label, origin, provider = subject
        if label == CALLS or origin is None:
            return False
        if self._of_calls:
            return provider == self._subject[2]
        return label == self._subject[0] and provider not in self._known

    def _side(self, window: Window, running: Counter[float]) -> _Side:
        requests = activity_of(window, self._mine)
        calls = window.numbers.get(self._subject, Counter())
        return _Side(calls if self._of_calls else requests.items, requests, running)

    def _latest(self, ring: str) -> list[Any]:
        """Return the latest ``failures`` or ``answers`` of its pools."""
        totals = [each for each in self._snapshot.totals if each.label in self._pools]
        latest = (one for each in totals for one in getattr(each, ring))
        return [one for one in latest if one.ago <= self._now.period]

    def troubles(self) -> list[Trouble]:
        """Return at most one trouble of outcomes, and one of times."""
        found = [self._failing() or self._cancelled(), self._silent() or self._slow()]
        return [one for one in (found if any(found) else [self._retried()]) if one is not None]

    # Is anything wrong?

    def _failing(self) -> Trouble | None:
        # SDKs send failed requests again, so that the call may succeed.
        share = thresholds.FAILURES_SEVERE
        if self._of_calls:
            share = thresholds.failure_share(self._subject[1])
        over = self._over("failed", ("failed", "succeeded"), share)
        if over is None:
            return None
        side, text = over
        how = severity(failed=self._of_calls or self._nearly_all_fail(side), slower=True)
        errors = side.errors.most_common()
        part = Part("result", errors[0][0] if errors else "_OTHER")
        which = [with_outcome(count, error) for error, count in errors[:_MOST_ERRORS]]
        self._counts.update(int(count) for _, count in errors[:_MOST_ERRORS])
        limit = time_limit(part.name, self._latest("failures"), self._latest("answers"))
        listed = ", ".join(which).replace("_OTHER", "an unclassified error")
        text += f": {listed}{self._origin()}{self._amplification()}{limit}."
        # A timeout of the whole call does not tell where it waited.
        parts = {part, *(self._parts(self._largest()[0][0]) if part in TIMES_OUT else ())}
        failed, others = side.outcomes["failed"], side.results.total()
        served, cuts = side.requests.served, side.requests.named("cut")
        cut, unusable = cuts.total(), served - side.outcomes["succeeded"]
        if limit:
            part = _TIMED
        elif 2 * cut > failed:
            text += f" An exception ended the reading of {counted(int(cut), 'answer')}."
            ((name, _),) = cuts.most_common(1)
            part = _UNDECODABLE if name in _DECODING else _CUT
        elif (
            part.name.startswith("4")
            and 2 * (moved := side.redirected(_TO_GET)) > side.errors[part.name]
        ):
            text += f" {counted(moved, 'request')} were redirected."
            part = _REDIRECTED
        elif part not in TIMES_OUT and 2 * others < failed < 2 * unusable:
            text += (
                f" {served} of {counted(served + others, 'request')} were answered successfully."
            )
            part = _ANSWERED
        elif part not in TIMES_OUT and failed < 2 * (unsent := self._unsent(side)):
            some = (
                f"At least {unsent} of them sent no" if unsent < failed else "None of them sent a"
            )
            text += f" {some} request."
            part = _UNSENT
        return self._trouble(Kind.CALLS_FAILING, how, text, part, parts)

    def _unsent(self, side: _Side) -> int:
        """Return how many failed calls sent no request, at least; 0 if that is unknown."""
        failed, succeeded = side.outcomes["failed"], side.outcomes["succeeded"]
        # Calls that were in flight before the period can have sent theirs before it.
        requests = side.requests.left + number_of(self._requests)
        # If fewer requests than successes are seen, others are sent where they are not.
        if requests < succeeded or not any(map(self._mine, self._snapshot.account.total)):
            return 0
        # A request may not be attributed to its call. A cache can answer calls without a request.
        return int(min(failed + succeeded - requests, side.own["unsent",]))

    def _cancelled(self) -> Trouble | None:
        over = self._over("cancelled", OUTCOMES, thresholds.CALL_CANCELLED_SHARE)
        if over is None:
            return None
        (part, *_), _ = self._largest()
        parts = {Part("result", "cancelled"), *self._parts(part)}
        cut = [one for one in self._latest("failures") if one.result == "cancelled"]
        alike = len(at_one_age(cut)) >= thresholds.NEARLY_ALL * max(len(cut), thresholds.CUT_CALLS)
        how = severity(failed=alike, slower=True)
        found = self._trouble(Kind.CALLS_CANCELLED, how, f"{over[1]}.", part, parts)
        # Consumers that have what they need leave while their answers arrive.
        fed = sum(one.phase in ("reading", "unread") and 2 * one.phase_age < one.age for one in cut)
        return replace(found, needs_cause=fed >= thresholds.NEARLY_ALL * max(len(cut), 1))

    def _nearly_all_fail(self, side: _Side) -> bool:
        failed, succeeded = side.outcomes["failed"], side.outcomes["succeeded"]
        # One call of an SDK fails three times with its retries.
        least = 1 if self._of_calls else thresholds.CALL_MANY
        return failed >= max(thresholds.NEARLY_ALL * (failed + succeeded), least)

    def _over(self, what: str, of: Sequence[str], share: float) -> tuple[_Side, str] | None:
        """Return the period in which too many calls ended so, with text; None if there is none."""
        before, quiet = self._before, thresholds.CALL_QUIET_SHARE
        sides = [(self._now, share), (self._quiet, quiet)]
        if self._nearly_all_fail(self._latest_minute) and not self._nearly_all_fail(self._now):
            sides.insert(0, (self._latest_minute, quiet))
        for side, most in sides:
            count, whole = side.outcomes[what], sum(side.outcomes[one] for one in of)
            if not thresholds.are_many(count, whole, most):
                continue
            verb = "were cancelled" if what == "cancelled" else what
            period = period_text(side.period)
            text = f"{count:.0f} of {whole:.0f} {self._to} {verb} in the last {period}"
            self._counts |= {round(count), round(whole)}
            if before is not None and (earlier := sum(before.outcomes[one] for one in of)) > 0:
                text += f" ({percent(before.outcomes[what] / earlier)} earlier)"
            return side, text
        return None

    def _silent(self) -> Trouble | None:
        calls = self._calls
        if calls is None or calls.silent < thresholds.CALL_SILENT_COUNT:
            return None
        if calls.silent <= thresholds.CALL_SILENT_SHARE * calls.in_flight:
            return None
        longest = max(calls.oldest.get("requesting", 0.0), calls.oldest_silence or 0.0)
        if longest < thresholds.ACCOUNT_SILENT * self._snapshot.account.row:
            return None
        text = (
            f"{calls.silent} of {calls.in_flight} {self._to} in flight are silent, the longest for "
            f"{seconds(longest)}"
        )
        waited: Any = Counter()
        for request in self._requests:
            time = max(request.phase_age, request.item_wait or 0.0)
            waited[request.phase] += request.number * time
        part = Part("time", max((*PROVIDERS_PART, *_WAITS), key=waited.__getitem__))
        parts = times(*PROVIDERS_PART)
        if part not in parts:
            number = number_of(one for one in self._requests if one.phase == part.name)
            text, parts = f"{text}; {counted(number, 'request')} in {part.name}", frozenset({part})
        return self._trouble(Kind.CALLS_SILENT, severity(stuck=True), f"{text}.", part, parts)

    def _slow(self) -> Trouble | None:
        now, before = self._now, self._before
        running = now.running.total()
        calls = now.ended + running
        if calls < thresholds.CALL_QUIET_COUNT:
            return None
        times, long = now.times, self._quiet.times.total() / (self._quiet.ended + running)
        waits = sum(times[part] for part in _WAITS) > thresholds.CALL_WAITS_LIMIT * calls
        waits |= now.ended >= thresholds.CALL_QUIET_COUNT and self._prepares(times)
        slower = before is not None and _slower(now, before)
        if not (slower or waits or long > thresholds.CALL_SLOW_LIMIT):
            return None
        each, usual = times.total() / now.number, 0.0
        # A bound of a class can exceed the process's life.
        bounds = (min(_quantile(now.took, share), self._snapshot.uptime) for share in (0.5, 0.95))
        half, most = map(seconds, bounds)
        took = "have taken" if running > now.ended else "took"
        text = (
            f"{self._to[0].upper()}{self._to[1:]} {took} {seconds(each)} on average in the last "
            f"{period_text(now.period)} (half {took} up to about {half}, 95% up to about {most}"
        )
        text += f"; {running} are in flight)" if running else ")"
        if slower and before is not None:
            usual = before.times.total() / before.number
            text += f", {seconds(each - usual)} more than earlier"
        (part, *others), where = self._largest(None if slower or not waits else _WAITS)
        text += f"{where}{self._amplification()}."
        if part.name == "preparing":
            text += self._hosts()
        streams = self._calls is None or self._calls.oldest_silence is not None
        how = severity(waited=times["queued"] / calls, took=each, usual=usual, slower=True)
        parts = {each for one in (part, *others) for each in self._parts(one)}
        found = self._trouble(Kind.CALLS_SLOW, how, text, part, parts)
        return replace(found, needs_cause=part.name == "reading" and streams)

    def _prepares(self, times: Any) -> bool:
        """Return whether most calls in flight, and most of the calls' time, are in ``preparing``.

        The mean of some minutes hides what has just begun.
        """
        if self._calls is None or 2 * times["preparing"] <= times.total():
            return False
        number = self._calls.now.get("preparing", 0)
        longest = self._calls.oldest.get("preparing", 0.0)
        most = number >= thresholds.CALL_QUIET_COUNT and 2 * number > self._calls.in_flight
        return most and longest > thresholds.CALL_WAITS_LIMIT

    def _retried(self) -> Trouble | None:
        retries = self._now.own["retries",]
        least = thresholds.RESENT_MUCH * self._now.requests.number("entered")
        if retries < thresholds.BACKOFF_RETRIES or retries < least:
            return None
        period = period_text(self._now.period)
        text = f"In the last {period}, {self._amplification().removeprefix('; ')}."
        part = Part("time", "backoff")
        return self._trouble(Kind.RETRIES, severity(slower=True), text, part, self._parts(part))

    # Where did it go?

    def _largest(self, among: Sequence[str] | None = None) -> tuple[list[Part], str]:
        """Return the part that has grown most per call, another large one, and text on both.

        If it has to be one of some parts, it is the largest of them, grown or not.
        """
        now, before = self._now, self._before
        times = now.times
        grown: Any = Counter({part: times[part] / now.number for part in among or times})
        sign = ""
        if before is not None and before.ended and among is None:
            sign = "+"
            grown -= Counter({part: time / before.number for part, time in before.times.items()})
        largest = grown.most_common(2)
        texts = [
            f"{sign}{seconds(time)} in {self._words(Part('time', name))}"
            for name, time in largest
            if time >= _NOTICED * grown.total()
        ]
        (first, _), *others = largest or [("", 0.0)]
        many = [name for name, time in others if time >= _MUCH * grown.total()]
        parts = [Part("time", name) for name in (first, *many)]
        return parts, f": {', '.join(texts)}" if texts else ""

    def _detail(self, part: Part) -> Part | None:
        """Return the step of connecting, or the reason of back-off, that has grown most."""
        now, before = self._now, self._before
        found: Any = now.results if part.name == "backoff" else Counter()
        del found["cancelled"]
        if part.name == "connecting":
            found = now.requests.named("step")
            if before is not None:
                for step, time in before.requests.named("step").items():
                    found[step] -= time * now.period / before.period
        (name, number), *_ = found.most_common(1) or [("", 0)]
        kind: PartKind = "step" if part.name == "connecting" else "result"
        return Part(kind, one_line(name)) if number > 0 else None

    def _words(self, part: Part) -> str:
        detail = self._detail(part)
        if detail and detail.name in SET_UP_HELP:
            return f"{part.name} ({SET_UP_HELP[detail.name][0]})"
        return f"{part.name} after {detail.name}" if detail else part.name

    def _parts(self, part: Part) -> set[Part]:
        """Return a part and its detail; only the step if that is known."""
        detail = self._detail(part)
        if detail is None:
            return {part}
        return {detail} if detail.kind == "step" else {part, detail}

    def _hosts(self) -> str:
        """Return text on the requests of each host, if calls send some to several."""
        hosts: dict[str, Counter[Item]] = {}
        for subject, items in self._numbers.items():
            if self._mine(subject) and items["entered",]:
                hosts.setdefault(str(subject[1]), Counter()).update(items)
        texts = [
            f"{items['entered',]:.0f} to {one_line(host)} of "
            f"{seconds(named(items, 'phase').total() / items['entered',])} each"
            for host, items in sorted(hosts.items())[:_MOST_ERRORS]
        ]
        return f" They sent requests to several hosts: {', '.join(texts)}." if texts[1:] else ""

    def _origin(self) -> str:
        """Return text on the origin of over half of the failed requests, unless it is the only."""
        failed: Counter[str] = Counter()
        for subject, items in self._numbers.items():
            if self._mine(subject):
                activity = activity_of(Window(0.0, {subject: items}), self._mine)
                failed[str(subject[1])] += _Side(activity.items, activity).errors.total()
        (origin, count), *_ = failed.most_common(1) or [("", 0)]
        over = len(failed) > 1 and 2 * count > failed.total()
        return f"; {count:.0f} of the failed requests went to {one_line(origin)}" if over else ""

    def _amplification(self) -> str:
        now = self._now
        retries, reason = int(now.own["retries",]), self._detail(Part("time", "backoff"))
        if retries < thresholds.BACKOFF_RETRIES:
            return ""
        requests = counted(now.requests.number("entered"), "request")
        after = f" after {'HTTP ' * reason.name.isdecimal()}{reason.name}" if reason else ""
        running = int(now.running.total())
        calls = counted(now.ended + running, "call")
        self._counts |= {now.ended + running, retries}
        calls += f" ({running} in flight)" if running else ""
        return f"; {calls} became {requests}: {retries} retries{after}"

    def _trouble(
        self, kind: Kind, how: Severity, account: str, part: Part, parts: Iterable[Part]
    ) -> Trouble:
        detail = self._detail(part) or part
        finding = Finding(
            kind=kind,
            severity=how,
            pool=self._pools[0] if len(self._pools) == 1 and part != _UNSENT else None,
            provider=self._subject[2] if self._of_calls else None,
            source=self._subject[1] if self._of_calls else None,
            observed=account,
            explanation=_EXPLANATIONS.get(detail, _UNKNOWN),
            advice=_ON_PURPOSE * (kind is Kind.CALLS_CANCELLED) + _advice(detail),
            evidence=self._evidence(kind, part),
        )
        return Trouble(finding, self._pools, frozenset(parts), frozenset(self._counts))

    def _evidence(self, kind: Kind, part: Part) -> tuple[Fact, ...]:
        """Return the call site and model of more than half of the requests concerned."""
        concerned: Sequence[Failure | RequestSnapshot]
        concerned = [request for request in self._requests if request.phase == part.name]
        what = f"Requests in {part.name}"
        if part in (_UNSENT, Part("time", "limited")):
            return ()
        if kind in (Kind.CALLS_FAILING, Kind.CALLS_CANCELLED):
            cancelled = kind is Kind.CALLS_CANCELLED
            what = f"The last {'cancelled' if cancelled else 'failed'} requests"
            failures = self._latest("failures")
            concerned = [one for one in failures if (one.result == "cancelled") is cancelled]
        elif part.name == "queued" or not concerned:
            concerned = [request for request in self._requests if request.held is not None]
            what = "Held connections"
        return evidence_of(what, concerned)


def _slower(now: _Side, before: _Side) -> bool:
    """Return whether calls take longer than before, in GlueLLMCallsSlow's terms, and not by chance.

    Long calls among many short ones raise the mean as well. So a share of the calls has to take
    longer than nearly all of those before.
    """
    if before.ended < thresholds.BASELINE_REQUESTS:
        return False
    spent, earlier = now.times.total(), before.times.total()
    each, usual = spent / now.number, earlier / before.ended
    longest = _quantile(before.took, 0.95)
    late = sum(count for took, count in now.took.items() if took > longest)
    return (
        each > thresholds.CALL_SLOWER * usual
        and each - usual >= thresholds.SLOWER_BY
        and spent >= thresholds.CALL_SLOW_TIME * now.period / 600
        and spent * before.period >= thresholds.CALL_SLOW_BUSY * earlier * now.period
        and thresholds.are_many(late, now.ended + now.running.total(), thresholds.CALL_SLOW_SHARE)
    )


# Why?


def explained(found: Sequence[Trouble], findings: Sequence[Finding]) -> list[Finding]:
    """Return the findings, first those that state what calls suffer from.

    A trouble begins the first finding that can explain its largest part. What requests are sent
    again after comes before the retries. If there is none, it is a finding of its own, above those
    that explain something else.
    """
    accounts: dict[int, list[Trouble]] = {}
    first = []
    for trouble in found:
        causes = [n for n, finding in enumerate(findings) if _explains(finding, trouble)]
        cause = min(causes, key=lambda n: (findings[n].kind is Kind.RETRIES, n), default=None)
        if cause is None and not trouble.needs_cause:
            first.append(trouble.finding)
        elif cause is not None:
            accounts.setdefault(cause, []).append(trouble)
    for number, its in accounts.items():
        finding = findings[number]
        severities = [finding.severity, *(trouble.finding.severity for trouble in its)]
        first.append(
            replace(
                finding,
                severity=min(severities, key=_SEVERITIES.index),
                observed=_observed(its, finding),
                evidence=finding.evidence or its[0].finding.evidence,
            )
        )
    first.sort(key=lambda finding: _SEVERITIES.index(finding.severity))
    return first + [finding for n, finding in enumerate(findings) if n not in accounts]


def _observed(its: Sequence[Trouble], finding: Finding) -> str:
    """Return what calls suffer and what a rule observed, with each number only once."""
    stated = frozenset().union(*(trouble.counts for trouble in its))
    observed = finding.observed
    if finding.clauses:
        observed = observed_text(
            clause for clause in finding.clauses if not clause.counts or clause.counts - stated
        )
    return " ".join(filter(None, (*(trouble.finding.observed for trouble in its), observed)))


def _explains(finding: Finding, trouble: Trouble) -> bool:
    return (
        finding.severity is not Severity.INFO
        and finding.pool in (None, *trouble.pools)
        and not trouble.parts.isdisjoint(EXPLAINS.get(finding.kind, ()))
    )


def _advice(part: Part) -> str:
    """Return what to look at next for the largest part of an account."""
    if part.name.isdecimal() and part not in _NEXT:
        return _PROVIDER_FAILS if part.name >= "500" else _REFUSED
    if part.name in CONNECT_HELP:
        part = Part("time", "connecting")
    return _NEXT.get(part, _EXCEPTION)


def _quantile(took: Counter[float], share: float) -> float:
    """Return the upper bound of the class that contains a quantile."""
    least, so_far = share * took.total(), 0
    for bound in sorted(took):
        so_far += took[bound]
        if so_far >= least:
            return bound
    return 0.0
