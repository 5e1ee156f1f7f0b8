"""One HTTP API, asked within one deadline and with bounded answers.

The standard library's client: no further dependency for a tool that people run once. Redirects are
not followed, since a login page is no store, and a header with a key belongs to one host.
"""

from __future__ import annotations

import http.client
import re
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import quote, urlencode, urlsplit

from ..text import printable
from .address import Address
from .hiding import Hiding
from .shapes import ShapeError, cleaned, parsed, rows_of, whole

MOST_BYTES = 16 * 1024 * 1024
"""Of one answer. 10 000 series with 30 labels each, the most that is asked for, take 14 MiB."""
MOST_ROWS = 10_000
_CHUNK = 64 * 1024
_LONGEST_ADDRESS = 4000
"""Characters of a URL; a longer query goes as a form, which some gateways refuse."""
_TOLD = 200
_NO_QUERY = "the answer is not that of a query"
_T = TypeVar("_T")


class CannotAskError(Exception):
    """The store can't be asked at all; the message says why, and what to do."""


class RefusedError(Exception):
    """The store answers, and refuses this one request; the message is the store's."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back for one request, whatever it is."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    """With names in lower case."""
    body: bytes = b""
    hiding: Hiding = field(default_factory=Hiding, repr=False)

    def text(self, longest: int = MOST_BYTES) -> str:
        """The begin of the body, in bytes as long as this, without what was sent as a secret."""
        return self.hiding.in_message(self.body[:longest].decode("utf-8", "replace"))

    def json(self) -> Any:
        """The body as JSON; None when it is none."""
        try:
            return cleaned(parsed(self.body), lambda text: self.hiding.in_data(whole(text)))
        except (ShapeError, RecursionError):
            return None


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    # Not redirect_request(), before which the address is read, whatever it holds.
    def http_error_302(self, *_: Any, **__: Any) -> None:
        return None

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302


class Store:
    """A Prometheus-compatible HTTP API. Not for several threads."""

    def __init__(self, address: Address, patience: float) -> None:
        self.url = address.url
        self.patience = patience
        """Seconds for all requests together."""
        self._headers = address.headers
        self._hiding = Hiding(address.headers)
        self._deadline = time.monotonic() + patience
        self._opener = urllib.request.build_opener(_NoRedirect)
        self.parameters: dict[str, str] = {}
        """Sent with each query."""
        self.cut: list[str] = []
        """The queries that had more than `MOST_ROWS` series as an answer."""

    # --- the API ---

    def query(self, expression: str, at: float | None = None) -> list[dict[str, Any]]:
        """The series of an instant query. Raises RefusedError, CannotAskError."""
        # One more than is kept, to know that there are more.
        parameters = {"query": expression, "limit": str(MOST_ROWS + 1), **self.parameters}
        if at is not None:
            parameters["time"] = f"{at:.3f}"
        rows = rows_of(self._data("/api/v1/query", parameters))
        if rows is None:
            raise RefusedError(_NO_QUERY)
        if len(rows) > MOST_ROWS:
            self.cut.append(expression)
        return rows[:MOST_ROWS]

    def label_values(self, label: str, **parameters: str) -> list[str]:
        """Values that a label has. Raises RefusedError, CannotAskError."""
        data = self._data(f"/api/v1/label/{quote(label, safe='')}/values", parameters)
        if not isinstance(data, list | None):
            raise RefusedError("the answer is no list of values")
        return [value for value in data or () if isinstance(value, str)]

    def status(self, path: str, **parameters: str) -> Any:
        """What only some stores have; None where this one hasn't, or has too much of it."""
        try:
            return self._data(path, parameters)
        except RefusedError:
            return None

    def _data(self, path: str, parameters: Mapping[str, str]) -> Any:
        answer = self.get(path, parameters)
        body = answer.json()
        if isinstance(body, dict) and body.get("status") == "success":
            return body.get("data")
        if isinstance(body, dict) and body.get("status") == "error":
            # Hidden before it is cut, or a part would be left.
            reason = self._hiding.in_message(str(body.get("error", "no reason given")))
            raise RefusedError(printable(reason, _TOLD))
        if answer.status in (401, 403):
            raise CannotAskError(_not_allowed(answer.status))
        try:
            parsed(answer.body)
        except ShapeError as error:
            raise RefusedError(
                f"the answer can't be used (HTTP status {answer.status}): {error}"
            ) from None
        raise RefusedError(f"HTTP status {answer.status}")

    # --- one request ---

    def get(self, path: str, parameters: Mapping[str, str] | None = None) -> Answer:
        """The answer, of whatever status. Raises CannotAskError when none comes."""
        url, form = self.url + path, urlencode(parameters or {}, errors="replace")
        data = None
        if len(url) + len(form) < _LONGEST_ADDRESS:
            url += f"?{form}" if form else ""
        else:
            data = form.encode()
        request = urllib.request.Request(
            url, data, {"Accept": "application/json, */*;q=0.5", **self._headers}
        )
        # In a thread of its own, since neither a look-up of a name nor a server that sends a byte
        # now and then would end by the socket's timeout.
        return self._in_time(lambda: self._sent(request))

    def _left(self) -> float:
        return self._deadline - time.monotonic()

    def _in_time(self, work: Callable[[], _T]) -> _T:
        results: list[_T] = []
        errors: list[Exception] = []

        def run() -> None:
            try:
                results.append(work())
            except Exception as error:
                errors.append(error)

        if self._left() > 0:
            thread = threading.Thread(target=run, daemon=True)
            thread.start()
            thread.join(self._left())
        if results:
            return results[0]
        if errors:
            raise self._explained(errors[0]) from None
        raise CannotAskError(self._too_slow())

    def _sent(self, request: urllib.request.Request) -> Answer:
        timeout = max(self._left(), 0.001)
        try:
            with self._opener.open(request, timeout=timeout) as response:
                return self._read(response.status, response)
        except urllib.error.HTTPError as error:
            with error:
                return self._read(error.code, error)

    def _read(self, status: int, response: Any) -> Answer:
        body = bytearray()
        while chunk := response.read(_CHUNK):
            body += chunk
            if len(body) > MOST_BYTES:
                raise RefusedError(f"the answer is longer than {MOST_BYTES // 2**20} MiB")
            if self._left() < 0:
                raise TimeoutError
        headers = {name.lower(): value for name, value in response.headers.items()}
        if "location" in headers:
            headers["location"] = self._hiding.in_message(headers["location"])
        return Answer(status, headers, bytes(body), self._hiding)

    # --- in words ---

    def _too_slow(self) -> str:
        return (
            f"it did not answer all within {self.patience:g} s: try a longer --timeout, a shorter "
            "--window, or --service NAME"
        )

    def _explained(self, error: Exception) -> Exception:
        if isinstance(error, (CannotAskError, RefusedError)):
            return error
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        place = urlsplit(self.url).netloc
        through = "" if not self._by_proxy() else " (through the proxy that the environment names)"
        if isinstance(reason, TimeoutError):
            return CannotAskError(self._too_slow())
        if isinstance(reason, ssl.SSLCertVerificationError):
            return CannotAskError(
                f"its certificate is not trusted ({printable(reason.verify_message, _TOLD)}). "
                "With a CA of your own, name its file in the environment: SSL_CERT_FILE=ca.pem"
            )
        if isinstance(reason, ssl.SSLError):
            return CannotAskError(
                "it speaks no TLS, or not ours "
                f"({printable(reason.reason or reason, _TOLD)}). For a server without TLS the URL "
                "begins with http://"
            )
        if isinstance(reason, http.client.HTTPException | ConnectionResetError):
            return CannotAskError(
                f"what listens at {place}{through} speaks no HTTP, or TLS only (then the URL "
                "begins with https://)"
            )
        if isinstance(reason, OSError):
            told = printable(reason.strerror or reason, _TOLD)
            return CannotAskError(
                f"nobody answers at {place}{through}: {told}. Is it the address as seen from here? "
                "In Kubernetes: kubectl port-forward service/NAME 9090"
            )
        return CannotAskError(f"the request failed with {type(error).__name__}")

    def _by_proxy(self) -> bool:
        parts = urlsplit(self.url)
        known = urllib.request.getproxies()
        return parts.scheme in known and not urllib.request.proxy_bypass(parts.hostname or "")


def _not_allowed(status: int) -> str:
    return (
        f"it asks for credentials (HTTP status {status}): give them with --header NAME=VALUE, or, "
        "kept from the process list, in GLUELLM_POOLS_HEADERS"
    )


def check_allowed(answer: Answer) -> None:
    """Raises CannotAskError where credentials are missing or not enough."""
    if answer.status in (401, 403):
        raise CannotAskError(_not_allowed(answer.status))


_TITLE = re.compile(r"<title[^>]{0,200}>([^<]{1,200})", re.IGNORECASE)


def title_of(answer: Answer) -> str:
    """The title of a web page; empty when there is none."""
    found = _TITLE.search(answer.text(50_000))
    return printable(found.group(1).strip(), 60) if found else ""
