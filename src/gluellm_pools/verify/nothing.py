"""A store without our data: what it has instead, and what to do, in order."""

from __future__ import annotations

from opentelemetry.instrumentation.gluellm.diagnosis.findings import Severity
from opentelemetry.instrumentation.gluellm.text import counted

from ..text import printable
from .facts import LONG_AGO, Facts
from .finding import Finding, some
from .product import Kind

DOWN_SHOWN = 3
_OTLP = {
    Kind.PROMETHEUS: "/api/v1/otlp/v1/metrics",
    Kind.VICTORIA_METRICS: "/opentelemetry/v1/metrics",
    Kind.MIMIR: "/otlp/v1/metrics",
}
_STARTED = {
    Kind.PROMETHEUS: ", Prometheus started with --web.enable-otlp-receiver; or a scrape of the "
    "Collector",
    Kind.VICTORIA_METRICS: ", VictoriaMetrics started with -opentelemetry.usePrometheusNaming",
}


def nothing_found(facts: Facts) -> Finding:
    """Why there is nothing of ours, as far as the store tells."""
    window = span(facts.window)
    if facts.ahead:
        return Finding(
            "clock_ahead",
            Severity.ERROR,
            "all data of the pools has a time that is yet to come",
            "the clock of the process, or that of the store, is wrong",
            "set the clocks of both machines (NTP)",
        )
    if facts.earlier:
        return Finding(
            "stopped",
            Severity.ERROR,
            f"no data of the pools in the last {window}, and there is some of the "
            f"{span(LONG_AGO)} before",
            "the processes have ended, or no longer reach this store",
            "look for the process, then for what its SDK logs of the export; to see the old data, "
            f"--window {LONG_AGO / 86_400:.0f}d",
        )
    if facts.unknown:
        return Finding(
            "names_unknown",
            Severity.ERROR,
            f"names that look like ours, and none is known: {some(facts.unknown)}",
            "they are of another version of the package, or were renamed on their way",
            "verify with the gluellm-pools of the version that runs",
        )
    if facts.foreign:
        few = some(facts.foreign)
        return Finding(
            "another_instrumentation",
            Severity.ERROR,
            f"no metric of the pools; those of another instrumentation are there: {few}",
            "metrics arrive, so the export works: GlueLLMInstrumentor().instrument() was not "
            "called, or not in that process, or with another meter provider",
            "call it at the start, before the first client is made, or start the program with "
            "opentelemetry-instrument; the log of the program names what is missing",
        )
    steps = _steps(facts)
    if facts.empty:
        return Finding(
            "store_empty",
            Severity.ERROR,
            f"the store has no series at all in the last {window}",
            "nothing was sent or scraped yet, or it reached another store (another tenant, another "
            "port)",
            steps,
        )
    return Finding(
        "no_data",
        Severity.ERROR,
        f"no metric of the pools in the last {window}; the store has others",
        "the program does not export metrics, or to another store, or was not instrumented",
        steps,
    )


def otlp_url(facts: Facts) -> str:
    """Where this store takes metrics by OTLP/HTTP; empty where that does not follow."""
    path = _OTLP.get(facts.product.kind)
    # A cluster of VictoriaMetrics, and hosted ones, take data at another host.
    if path is None or not facts.url or facts.url.endswith(("/select/0/prometheus", "/api/prom")):
        return ""
    base = facts.url
    if facts.product.kind is Kind.MIMIR:
        base = base.removesuffix("/prometheus")
    return printable(base + path, 200)


def _known(facts: Facts) -> list[str]:
    """What the store itself says is wrong."""
    known = []
    if facts.product.takes_otlp is False:
        known.append(
            "This store's OTLP endpoint is off: start Prometheus with "
            "--web.enable-otlp-receiver, unless it is to scrape a Collector"
        )
    if facts.down:
        told = "; ".join(printable(one, 160) for one in facts.down[:DOWN_SHOWN])
        known.append(f"Prometheus can't scrape {told}")
    return known


def _steps(facts: Facts) -> str:
    url = otlp_url(facts)
    started = _STARTED.get(facts.product.kind, "")
    where = f"for this store {url}{started}" if url else "the store's OTLP endpoint, or a Collector"
    steps = (
        *_known(facts),
        "Is the program instrumented? Run it with: gluellm-pools doctor -- python app.py",
        (
            "Does it export metrics? OTEL_METRICS_EXPORTER=otlp for opentelemetry-instrument, or a "
            "meter provider in code that has an exporter"
        ),
        f"Where to? OTEL_EXPORTER_OTLP_METRICS_ENDPOINT (OTLP/HTTP), {where}",
        (
            "Does the export succeed? The program's log says so if not; status 500 of Prometheus: "
            "unset OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE"
        ),
        (
            "With a Collector between: look for `Exporting failed. Dropping data.` in its log; a "
            "doubled /v1/metrics gives 404, since that exporter adds the path to `endpoint`"
        ),
        "Make a call, and wait for one export interval (60 s)",
    )
    numbered = [f"{number}. {step}" for number, step in enumerate(steps, 1)]
    last = "To try the store alone: gluellm-pools demo, with that variable."
    return "\n".join([*numbered, last])


def span(length: float) -> str:
    """A span of time, to stand after "the last": ``hour``, ``90 minutes``, ``14 days``."""
    for unit, noun in ((86_400, "day"), (3600, "hour"), (60, "minute")):
        if length >= unit and length % unit == 0:
            return noun if length == unit else counted(int(length / unit), noun)
    return f"{length:g} s"
