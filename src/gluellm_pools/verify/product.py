"""What answers at the URL: which store in which version, or what else it is."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit

from ..text import printable
from .asking import Answer, CannotAskError, RefusedError, Store, check_allowed, title_of


class Kind(StrEnum):
    """Stores that are told apart."""

    PROMETHEUS = "Prometheus"
    VICTORIA_METRICS = "VictoriaMetrics"
    MIMIR = "Grafana Mimir"
    OTHER = "a Prometheus-compatible store"


@dataclass(frozen=True, slots=True)
class Product:
    """What answered."""

    kind: Kind
    version: str = ""
    """Empty when it tells none."""
    promotes_scope: bool = False
    """Whether its OTLP endpoint adds scope labels (Prometheus' promote_scope_metadata)."""
    takes_otlp: bool | None = None
    """Whether its OTLP endpoint is on; None when it does not tell."""
    translation: str = ""
    """Prometheus' translation_strategy; empty when it does not tell."""

    def __str__(self) -> str:
        return f"{self.kind.value} {self.version or '(it tells no version)'}"


_BUILD = "/api/v1/status/buildinfo"
_VERSION = re.compile(
    r'^vm_app_version\{[^}\n]{0,1000}short_version="([^"\n]{1,40})"', re.MULTILINE
)
_PREFIXES = ("/prometheus", "/api/prom", "/select/0/prometheus")
_STRATEGY = re.compile(r"^[ \t]*translation_strategy:[ \t]*(\S{1,100})", re.MULTILINE)
_PROMOTES = re.compile(r"^[ \t]*promote_scope_metadata:[ \t]*true", re.MULTILINE)


def recognise(store: Store) -> Product:
    """What answers. Raises CannotAskError, saying what it is when it is no store."""
    answer = store.get(_BUILD)
    check_allowed(answer)
    data = _success(answer)
    if data is None:
        _refuse_what_is_none(store, answer)
        return Product(Kind.OTHER)
    if _is_victoria_metrics(store, answer):
        # It answers with a Prometheus version of 2.24 here, for Grafana's sake.
        store.parameters["nocache"] = "1"  # or it hides the last 30 s (-search.latencyOffset)
        found = _VERSION.search(_quietly(store, "/metrics"))
        return Product(Kind.VICTORIA_METRICS, printable(found.group(1)) if found else "")
    version = printable(data.get("version", ""))
    application = str(data.get("application", ""))
    if "mimir" in application.lower():
        return Product(Kind.MIMIR, version)
    flags = store.status("/api/v1/status/flags")
    if not isinstance(flags, dict):
        return Product(Kind.OTHER, version)
    config = store.status("/api/v1/status/config")
    yaml = str(config.get("yaml", "")) if isinstance(config, dict) else ""
    strategy = _STRATEGY.search(yaml)
    takes_otlp = flags.get("web.enable-otlp-receiver")
    return Product(
        Kind.PROMETHEUS,
        version,
        promotes_scope=_PROMOTES.search(yaml) is not None,
        takes_otlp=None if takes_otlp is None else takes_otlp == "true",
        translation=printable(strategy.group(1)) if strategy else "",
    )


def _success(answer: Answer) -> dict[str, Any] | None:
    body = answer.json()
    if isinstance(body, dict) and body.get("status") == "success":
        data = body.get("data")
        return data if isinstance(data, dict) else {}
    return None


def _is_victoria_metrics(store: Store, answer: Answer) -> bool:
    if "x-server-hostname" in answer.headers:
        return True
    # A proxy may drop that header; only VictoriaMetrics tells what a query took in this way.
    body = store.get("/api/v1/query", {"query": "1"}).json()
    stats = body.get("stats") if isinstance(body, dict) else None
    return isinstance(stats, dict) and "seriesFetched" in stats


def _quietly(store: Store, path: str) -> str:
    try:
        return store.get(path).text()
    except RefusedError:
        return ""


def _refuse_what_is_none(store: Store, answer: Answer) -> None:
    """Raises CannotAskError unless queries are answered after all."""
    if 300 <= answer.status < 400:
        raise CannotAskError(_redirected(store, answer))
    # Older versions and gateways have no build information.
    try:
        if store.query("vector(1)"):
            return
    except RefusedError:
        pass
    raise CannotAskError(_what_it_is(store, answer))


def _redirected(store: Store, answer: Answer) -> str:
    target = answer.headers.get("location", "")
    if _is_grafana(store):
        return _GRAFANA
    try:
        parts = urlsplit(target)
    except ValueError:
        return f"it redirects to {printable(target, 200)!r}, which is no address"
    if "login" in parts.path or "auth" in target:
        return (
            "it redirects to a login page: give credentials with --header NAME=VALUE, or an "
            "address behind the login"
        )
    host = parts.netloc.rpartition("@")[2] or urlsplit(store.url).netloc
    scheme = parts.scheme or urlsplit(store.url).scheme
    path = parts.path.partition("/api/v1")[0]
    there = printable(f"{scheme}://{host}{path}", 200)
    return f"it redirects to {there}, which is not followed: give that address if you trust it"


def _what_it_is(store: Store, answer: Answer) -> str:
    if _is_grafana(store):
        return _GRAFANA
    for prefix in _PREFIXES:
        if not store.url.endswith(prefix) and _success(store.get(prefix + _BUILD)) is not None:
            return f"its API is one step further: give {store.url}{prefix}"
    base = store.get("")
    if base.status == 404:
        base = store.get("/")
    for page, path in ((answer, ""), (base, ""), (store.get("/metrics"), "/metrics")):
        if page.status == 200 and _is_exposition(page):
            return (
                f"this is a page to be scraped ({store.url}{path}), as that of the Collector's "
                "Prometheus exporter or of PrometheusMetricReader, and stores nothing: give the "
                "URL of the Prometheus that scrapes it"
            )
    if store.get("/v1/metrics").status == 405:
        return (
            "this takes OTLP (as the Collector's receiver on port 4318) and answers no "
            "questions: give the URL of the store that the metrics are sent on to"
        )
    title = title_of(base) or title_of(answer)
    found = f"a web page ({title})" if title else f"HTTP status {answer.status} for {_BUILD}"
    return (
        f"this is not Prometheus' HTTP API: found {found}. Give the URL that a Grafana data source "
        "of the type Prometheus has, with its path if it has one"
    )


_GRAFANA = (
    "this is Grafana, which shows a store's data and stores none: give the URL of its data source "
    "(in Grafana: Connections, Data sources, Prometheus server URL)"
)


def _is_grafana(store: Store) -> bool:
    body = store.get("/api/health").json()
    return isinstance(body, dict) and "database" in body and "version" in body


def _is_exposition(answer: Answer) -> bool:
    kind = answer.headers.get("content-type", "")
    begin = answer.body[:10]
    return kind.startswith(("text/plain", "application/openmetrics-text")) and (
        begin.startswith((b"# HELP", b"# TYPE", b"# EOF")) or "version=0.0.4" in kind
    )
