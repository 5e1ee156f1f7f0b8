"""Client of Prometheus' HTTP API, with one deadline for all requests and bounded answers.

It uses the standard library, so that the command needs no further package. It follows no redirect:
a login page is no store, and a header with a key must not reach another host.
"""

from __future__ import annotations

import http.client
import json
import math
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from ..text import printable
from .address import HEADERS_VARIABLE, Address

MOST_BYTES = 16 * 1024 * 1024
"""Bound on one answer. `MOST_ROWS` series with 30 labels each take 14 MiB."""
MOST_VALUES = 1_000_000
"""Bound on one JSON text. `MOST_ROWS` series with 30 labels each have a third of that."""
MOST_ROWS = 10_000
_LONGEST_URL = 4000
"""A longer query is sent as a form, which some gateways reject."""
_NEWEST = {"nocache": "1"}
"""Without it VictoriaMetrics hides the last 30 s (-search.latencyOffset). Others ignore it."""
_SLOW = (
    "no answer to all queries within --timeout: try a longer one, a shorter --window, or --service"
)
_CERTIFICATE = "the certificate is not trusted: for your own authority, set SSL_CERT_FILE=ca.pem"
_NO_TLS = "the TLS handshake failed: the URL of a server without TLS begins with http://"
_NO_HTTP = "the server does not speak HTTP: the URL of a server with TLS begins with https://"
_SILENT = (
    "check that this machine can reach it. In Kubernetes: kubectl port-forward service/NAME 9090"
)
_HINTS = (
    (TimeoutError, _SLOW),
    (ssl.SSLCertVerificationError, _CERTIFICATE),
    (ssl.SSLError, _NO_TLS),
    ((http.client.HTTPException, ConnectionResetError), _NO_HTTP),
    (OSError, _SILENT),
)
"""By kind of error, the first that fits."""


class CannotAskError(Exception):
    """The store cannot be queried. The message gives the reason and what to do."""


class RefusedError(Exception):
    """The store rejects one request. The message is the store's."""


@dataclass(frozen=True, slots=True)
class Series:
    """One series of a query's answer."""

    name: str
    labels: dict[str, str]
    samples: list[tuple[float, float]]
    """Seconds since the epoch and value, oldest first; none for a native histogram."""

    @property
    def value(self) -> float:
        """The newest value; NaN for a native histogram."""
        return self.samples[-1][1] if self.samples else math.nan

    @property
    def number(self) -> float:
        """The newest value. Raises RefusedError unless it is finite."""
        if not math.isfinite(self.value):
            raise RefusedError("the answer contains no finite number")
        return self.value


@dataclass(frozen=True, slots=True)
class StoreAnswer:
    """The response to one request, with any status."""

    status: int
    headers: dict[str, str]
    """With names in lower case."""
    text: str
    """The body without the credentials that were sent."""

    def object(self) -> dict[str, Any]:
        """The body's JSON object; empty if it is none."""
        try:
            body = parse_json(self.text)
        except ValueError:
            return {}
        return body if isinstance(body, dict) else {}


def parse_json(text: str) -> Any:
    """Parse JSON. Raises ValueError with the reason."""
    # An empty object takes three bytes in the text and 64 or more once parsed.
    if sum(map(text.count, ",{[")) > MOST_VALUES:
        raise ValueError(f"it has more than {MOST_VALUES} values")
    try:
        return json.loads(text)
    except (RecursionError, ValueError) as error:
        deep = isinstance(error, RecursionError)
        raise ValueError("it is nested too deep" if deep else "it is no JSON") from None


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    # Not redirect_request(): the caller of that parses the address, which can be invalid.
    def http_error_302(self, *_: Any, **__: Any) -> None:
        return None

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302


class Store:
    """A Prometheus-compatible HTTP API. Not thread-safe."""

    def __init__(self, address: Address, patience: float) -> None:
        self.url = address.url
        self.cut: list[str] = []
        """Queries with more than `MOST_ROWS` series in their answer."""
        self._address = address
        self._deadline = time.monotonic() + patience
        self._opener = urllib.request.build_opener(_NoRedirect)

    def query(self, promql: str, at: float | None = None) -> list[Series]:
        """Return the series of an instant query. Raises RefusedError, CannotAskError."""
        # One more than is kept, to notice that there are more.
        parameters = {"query": promql, "limit": str(MOST_ROWS + 1), **_NEWEST}
        if at is not None:
            parameters["time"] = f"{at:.3f}"
        data = self._data("/api/v1/query", parameters)
        try:
            rows = _rows(data)
        except (AttributeError, KeyError, OverflowError, TypeError, ValueError):
            raise RefusedError("the answer is not the result of a query") from None
        if len(rows) > MOST_ROWS:
            self.cut.append(promql)
        return rows[:MOST_ROWS]

    def label_values(self, label: str, **parameters: str) -> list[str]:
        """Return the values of a label. Raises RefusedError, CannotAskError."""
        data = self._data(f"/api/v1/label/{quote(label, safe='')}/values", parameters)
        if not isinstance(data, list | None):
            raise RefusedError("the answer is no list of values")
        return [value for value in data or () if isinstance(value, str)]

    def optional(self, path: str, **parameters: str) -> dict[str, Any]:
        """Return the data of a path that only some stores have; empty if this one has none."""
        try:
            data = self._data(path, parameters)
        except RefusedError:
            return {}
        return data if isinstance(data, dict) else {}

    def _data(self, path: str, parameters: Mapping[str, str]) -> Any:
        answer = self.get(path, parameters)
        body = answer.object()
        if body.get("status") == "success":
            return body.get("data")
        if body.get("status") == "error":
            raise RefusedError(printable(body.get("error", "no reason given"), 200))
        check_allowed(answer)
        raise RefusedError(f"unusable answer (HTTP status {answer.status})")

    def get(self, path: str, parameters: Mapping[str, str] | None = None) -> StoreAnswer:
        """Send one request. Raises CannotAskError without an answer, RefusedError if too long."""
        url, form = self.url + path, urlencode(parameters or {}, errors="replace")
        data = form.encode() if len(url) + len(form) >= _LONGEST_URL else None
        if form and data is None:
            url += f"?{form}"
        headers = {"Accept": "application/json, */*;q=0.5", **self._address.headers}
        request = urllib.request.Request(url, data, headers)
        results: list[StoreAnswer | Exception] = []

        def send() -> None:
            try:
                results.append(self._send(request))
            except Exception as error:
                results.append(error)

        # In a thread: a socket's timeout limits neither the look-up of a name nor a server that
        # sends a byte now and then.
        thread = threading.Thread(target=send, daemon=True)
        thread.start()
        thread.join(max(self._deadline - time.monotonic(), 0))
        result = results[0] if results else TimeoutError()
        if isinstance(result, StoreAnswer):
            return result
        raise _explained(result) from None

    def _send(self, request: urllib.request.Request) -> StoreAnswer:
        try:
            response = self._opener.open(request, timeout=max(self._deadline - time.monotonic(), 1))
        except urllib.error.HTTPError as error:
            response = error
        with response:
            body = response.read(MOST_BYTES + 1)
            headers = {name.lower(): value for name, value in response.headers.items()}
        if len(body) > MOST_BYTES:
            raise RefusedError(f"the answer is longer than {MOST_BYTES // 2**20} MiB")
        text = self._address.hide(body.decode("utf-8-sig", "replace"))
        return StoreAnswer(response.status, headers, text)


def _explained(error: Exception) -> Exception:
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(error, RefusedError):
        return error
    hint = next((hint for kind, hint in _HINTS if isinstance(reason, kind)), "unexpected")
    detail = getattr(reason, "strerror", None) or type(reason).__name__
    return CannotAskError(f"{printable(detail, 100)}: {hint}")


def check_allowed(answer: StoreAnswer) -> None:
    """Raise CannotAskError if credentials are missing or not sufficient."""
    if answer.status in (401, 403):
        raise CannotAskError(
            f"it requires credentials (HTTP status {answer.status}): pass --header NAME=VALUE, "
            f"or set {HEADERS_VARIABLE}, which the process list does not show"
        )


def _rows(data: Any) -> list[Series]:
    """Convert the data of a query's answer. Raises one of several errors for anything else."""
    if data.get("resultType") in ("scalar", "string"):
        return [Series("", {}, [_sample(data["result"])])]
    rows = []
    for row in data["result"]:
        pairs = [row["value"]] if "value" in row else row.get("values", [])
        labels = {str(label): str(value) for label, value in row.get("metric", {}).items()}
        rows.append(Series(labels.pop("__name__", ""), labels, list(map(_sample, pairs))))
    return rows


def _sample(pair: Any) -> tuple[float, float]:
    when, value = map(float, pair)
    if not math.isfinite(when):
        raise ValueError("a time must be finite")
    return when, value
