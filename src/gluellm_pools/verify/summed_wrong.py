"""What makes rates and sums wrong though names and labels are right."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from opentelemetry.instrumentation.gluellm.diagnosis.findings import Severity

from ..text import printable
from .facts import Facts, FallingCounter, Labels
from .finding import Finding, past, some
from .product import Kind
from .ways import Arrival, mixed, twice

_SHARE_OF_FALLS = 0.2
_OWN_INSTANCE = (
    "give each process its own service.instance.id: OTEL_RESOURCE_ATTRIBUTES="
    "service.instance.id=NAME, per worker after the fork; not one for all of them, and let no "
    "processor of the Collector take it out"
)


def collision_findings(facts: Facts) -> Iterator[Finding]:
    """Processes that write into the same series, and deltas, which look alike."""
    often = [one for one in facts.falling if one.share >= _SHARE_OF_FALLS]
    still = [one for one in often if not one.over]
    if still:
        yield _of_counter(max(still, key=lambda one: one.falls), facts)
    elif facts.writers > 1:
        newest = max(facts.processes, key=lambda one: one.last)
        yield _collision(
            f"the samples of {_who(newest.labels)} come in the rhythm of {facts.writers} exporters"
        )
    elif often:
        last = max(often, key=lambda one: (one.until or 0.0, one.falls))
        ago = None if last.until is None else max(facts.moment - last.until, 0.0)
        yield past(_of_counter(last, facts), ago)


def _of_counter(one: FallingCounter, facts: Facts) -> Finding:
    seen = f"counters of {_who(one.labels)} fell {one.falls:.0f} times in {one.samples:.0f} samples"
    # Prometheus refuses deltas.
    if not one.deltas or facts.product.kind is Kind.PROMETHEUS:
        return _collision(seen)
    return Finding(
        "deltas_stored",
        Severity.ERROR,
        f"{seen}, which come in the rhythm of one exporter",
        "it sends deltas, and this store keeps them as they are: each sample is what came since "
        "the one before, so rates and sums are wrong",
        "unset OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE, or let a Collector with the "
        "deltatocumulative processor stand between. If the program sends no deltas, several "
        f"processes write into one series: {_OWN_INSTANCE}",
    )


def _collision(seen: str) -> Finding:
    return Finding(
        "processes_collide",
        Severity.ERROR,
        seen,
        "several processes write into the same series, since their labels are the same: counters "
        "are one's and then another's, and rates and sums are wrong",
        _OWN_INSTANCE,
    )


def _who(labels: Labels) -> str:
    told = [
        f"{label}={printable(labels[label])}"
        for label in ("job", "instance", "service_name", "service_instance_id")
        if label in labels
    ]
    return " ".join(told) or "one process"


def double_findings(found: Sequence[Arrival]) -> Iterator[Finding]:
    """Data that comes by several ways at once."""
    services = twice(found)
    if services:
        ways = " and ".join(sorted({arrival.name for arrival in found}))
        yield Finding(
            "arrives_twice",
            Severity.ERROR,
            f"{some(sorted(services))} comes by {ways} at once",
            "sums over all series count each request twice",
            "switch one of the ways off, or give each its own store",
        )
    apart = mixed(found)
    if apart:
        ways = " and ".join(
            sorted({one.name for one in found if apart & {name for name, _ in one.identities}})
        )
        yield Finding(
            "ways_differ",
            Severity.INFO,
            f"processes of {some(sorted(apart))} come by {ways}",
            "they are different ones by their instances, as pods that are scraped and a job that "
            "sends: nothing is counted twice",
            "if it is one process that both sends and is scraped, switch one of the ways off",
        )
