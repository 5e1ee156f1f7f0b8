"""Recognizes the store that answers at a URL, or what else is there."""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass

from ..text import printable
from .client import CannotAskError, RefusedError, Store, StoreAnswer, check_allowed

PROMETHEUS, VICTORIA_METRICS = "Prometheus", "VictoriaMetrics"
_OTHER = "a Prometheus-compatible store"


@dataclass(frozen=True, slots=True)
class Product:
    """The store."""

    name: str
    version: str = ""
    promotes_scope: bool = False
    """Whether Prometheus' OTLP endpoint adds scope labels."""
    takes_otlp: bool = True
    """False if its OTLP endpoint is off."""

    def __str__(self) -> str:
        return f"{self.name} {self.version or '(unknown version)'}"


_PROMOTES_SCOPE = re.compile(r"^\s*promote_scope_metadata:\s*true", re.MULTILINE)
_BUILD = "/api/v1/status/buildinfo"
_VERSION = re.compile(r'^vm_app_version\{[^}]*short_version="([^"]{1,40})"', re.MULTILINE)
_EXPOSITION = ("text/plain; version=", "application/openmetrics-text")
_OTHERS = {
    "Grafana": "this is Grafana, which stores no data: give the URL of its data source (in "
    "Grafana: Connections, Data sources, Prometheus server URL)",
    "redirect": "it redirects, which is not followed: give the address that it redirects to, or, "
    "for a login page, credentials with --header NAME=VALUE",
    "page": "this is a page to be scraped, such as that of the Collector's Prometheus exporter or "
    "of PrometheusMetricReader: give the URL of the Prometheus that scrapes it",
    "OTLP": "this is an OTLP receiver, such as the Collector's on port 4318, and answers no "
    "queries: give the URL of the store that the metrics are sent to",
    "": f"this is not the HTTP API of Prometheus: it lacks {_BUILD}. Give the URL of a "
    "Prometheus data source of Grafana, with its path if it has one, such as /prometheus for Mimir",
}


def recognize(store: Store) -> Product:
    """Return the store. Raises CannotAskError, with what else answers at the URL."""
    answer = store.get(_BUILD)
    check_allowed(answer)
    if answer.object().get("status") != "success":
        # Old versions and gateways have no build information.
        with contextlib.suppress(RefusedError):
            if store.query("vector(1)"):
                return Product(_OTHER)
        raise CannotAskError(_OTHERS[_other_server(store, answer)])
    if "x-server-hostname" in answer.headers:
        # Its build information is that of a Prometheus 2.24, for Grafana.
        found = _VERSION.search(store.get("/metrics").text)
        return Product(VICTORIA_METRICS, printable(found[1]) if found else "")
    data = store.optional(_BUILD)
    flags = store.optional("/api/v1/status/flags")  # Mimir has none
    name = PROMETHEUS if flags else printable(data.get("application") or _OTHER)
    configuration = str(store.optional("/api/v1/status/config").get("yaml", ""))
    promotes = _PROMOTES_SCOPE.search(configuration) is not None
    takes_otlp = flags.get("web.enable-otlp-receiver") != "false"
    return Product(name, printable(data.get("version", "")), promotes, takes_otlp)


def _other_server(store: Store, answer: StoreAnswer) -> str:
    if "database" in store.get("/api/health").object():
        return "Grafana"
    if 300 <= answer.status < 400:
        return "redirect"
    for page in (answer, store.get(""), store.get("/metrics")):
        if page.status == 200 and page.headers.get("content-type", "").startswith(_EXPOSITION):
            return "page"
    return "OTLP" if store.get("/v1/metrics").status == 405 else ""
