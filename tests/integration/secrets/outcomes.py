"""Requests full of secrets, and all outcomes of them."""

import contextlib
import traceback
from collections.abc import Iterator
from typing import Any

from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    TraceFlags,
    TraceState,
    set_span_in_context,
)

from opentelemetry import baggage, context
from opentelemetry.instrumentation.gluellm.pool.lease import Lease
from support.clients import Headers, PoolUnderTest
from support.exchange import Exchange
from support.installation import installed
from support.network import refused_url
from support.script import Failure, Reply

from .places import Canaries, Places, encoded

STREAM = "in the body of an answer, in pieces"


def headers(canaries: Canaries, *, authorization: bool = True) -> Headers:
    """Return a request's headers, with secrets in names and values, and encoded credentials."""
    key = canaries.plant("an API key in a header")
    forms = encoded(canaries.plant("a password in basic authentication"))
    return (
        *((("authorization", f"Bearer {key}"),) if authorization else ()),
        ("x-api-key", key),
        ("api-key", canaries.plant("azure's api-key header")),
        ("proxy-authorization", f"Basic {forms['basic']}"),
        ("cookie", f"session={canaries.plant('a cookie')}"),
        (f"x-{canaries.plant('the name of a header')}", "1"),
        ("x-quoted", forms["quoted"] + forms["percents"]),
        ("x-json", forms["json"].replace('"', "'")),
        ("baggage", f"user={canaries.plant('a baggage header of its own')}"),
        ("x-amz-security-token", canaries.plant("a session token of AWS")),
    )


def url(canaries: Canaries, base: str, path: str, *, user: bool = True) -> str:
    """Return a URL with secrets in all its parts except host and port."""
    scheme, _, rest = base.partition("://")
    name, password = canaries.plant("the user of a URL"), canaries.plant("the password of a URL")
    who = f"{name}:{password}@" if user else ""
    query = (
        f"?key={canaries.plant('a query')}&b=%7E{encoded(canaries.plant('a query'))['percents']}"
    )
    return f"{scheme}://{who}{rest.rstrip('/')}{path}{query}#{canaries.plant('a fragment')}"


def body(canaries: Canaries) -> bytes:
    """Return a body with a prompt, a tool's arguments and a file."""
    prompt, tool = canaries.plant("a prompt"), canaries.plant("a tool call")
    file = canaries.plant("a file's content")
    return f'{{"prompt": "{prompt}", "tool": {{"{tool}": "{tool}"}}, "file": "{file}"}}'.encode()


def replies(canaries: Canaries) -> dict[str, Reply]:
    """Return a server's replies by the outcome of the request."""
    name = canaries.plant("the name of a header of an answer")
    value = canaries.plant("the value of a header of an answer")
    sent = ((f"x-{name}", value), ("set-cookie", f"a={canaries.plant('a cookie that is set')}"))
    text = canaries.plant(STREAM).encode()
    error = canaries.plant("the provider's error message").encode()
    place = canaries.plant("where a redirect leads")
    nobody = refused_url().removeprefix("http://")
    return {
        "answered": Reply(headers=sent, chunks=((0.0, text[:7]), (0.01, text[7:]))),
        "refused": Reply(status=401, headers=sent, chunks=((0.0, b'{"error":"' + error + b'"}'),)),
        "redirected": Reply(status=302, headers=(("location", f"http://{place}@{nobody}{place}"),)),
        "reset": Reply(failure=Failure.RESET_BEFORE_HEAD),
        "ended": Reply(failure=Failure.EOF_BEFORE_HEAD),
        "broken": Reply(headers=sent, chunks=((0.0, text),), failure=Failure.RESET_IN_BODY),
        "cut": Reply(headers=sent, chunks=((0.0, text),), failure=Failure.EOF_IN_BODY),
    }


@contextlib.contextmanager
def secrets_in_context(canaries: Canaries) -> Iterator[None]:
    """Attach a remote trace with a tracestate, and baggage, for the block."""
    state = TraceState([("vendor", canaries.plant("tracestate"))])
    remote = SpanContext(
        int("ab" * 16, 16),
        int("cd" * 8, 16),
        is_remote=True,
        trace_flags=TraceFlags(1),
        trace_state=state,
    )
    there = set_span_in_context(NonRecordingSpan(remote))
    there = baggage.set_baggage("user", canaries.plant("baggage"), there)
    there = baggage.set_baggage(canaries.plant("the name of a baggage entry"), "1", there)
    token = context.attach(there)
    try:
        yield
    finally:
        context.detach(token)


class Attempts:
    """Requests of one pool. What the instrumentation adds to their exceptions is collected."""

    def __init__(self, pool: PoolUnderTest, places: Places) -> None:
        self._pool = pool
        self._canaries = places.canaries
        self._places = places
        self.made = 0

    def send(self, base: str, path: str, **timeouts: Any) -> Exchange:
        """Begin a request."""
        self.made += 1
        # A user and an authorization header together are refused by aiohttp. gRPC has no user.
        pool = self._pool
        user = self.made % 2 == 1 and pool.library.name != "grpc" and not _is_over_aiohttp(pool)
        return self._pool.send(
            url(self._canaries, base, path, user=user),
            body=body(self._canaries),
            headers=headers(self._canaries, authorization=not user),
            **timeouts,
        )

    def whole(self, base: str, path: str, **timeouts: Any) -> BaseException | None:
        """Make a request, and return the exception if it fails."""
        exchange = self.send(base, path, **timeouts)
        try:
            exchange.head()
            exchange.read()
        except Exception as error:
            self.note(error)
            return error
        return None

    def note(self, error: BaseException | None) -> None:
        """Collect what was added to an exception and its causes."""
        while error is not None:
            self._places.add("notes on exceptions", "\n".join(getattr(error, "__notes__", ())))
            for frame in traceback.extract_tb(error.__traceback__):
                if "/gluellm/" in frame.filename:
                    self._places.add("our lines in tracebacks", f"{frame.name} {frame.line}")
            error = error.__cause__ or error.__context__


def _is_over_aiohttp(pool: PoolUnderTest) -> bool:
    # httpx converts the user into a header, but also leaves it in the URL.
    return pool.library.name == "aiohttp" and hasattr(pool.raw, "_transport")


def leases() -> Iterator[Lease]:
    """Yield the leases of requests in flight."""
    for tracker in tuple(installed().registry.trackers.values()):
        yield from tuple(tracker.leases)


def age_requests(seconds: float) -> None:
    """Make requests in flight older, and run the watch."""
    watch = installed()._watch
    watch.run_pass()  # records how far each stream has been read
    back = int(seconds * 1e9)
    for notes in watch._leases.values():
        notes.stepped_at -= back if notes.stepped_at else 0
    for lease in leases():
        lease.entered_at -= back
        lease.phase_since -= back
        lease.acquired_at -= back if lease.acquired_at else 0
    for _ in range(3):
        watch.run_pass()
