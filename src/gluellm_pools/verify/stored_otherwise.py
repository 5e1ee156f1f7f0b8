"""What is wrong with names and labels: the data is there, and boards miss it or sum it up wrong."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from opentelemetry.instrumentation.gluellm.diagnosis.findings import Severity
from opentelemetry.instrumentation.gluellm.telemetry.prometheus import Way

from ..text import printable
from .facts import Facts
from .finding import Finding, some
from .naming import Style, styles_of
from .product import Kind
from .ways import Arrival, scrape_instance


def naming_findings(facts: Facts, found: Sequence[Arrival]) -> Iterator[Finding]:
    """Names that boards don't ask for."""
    styles = [style for style in styles_of(facts.stored) if style is not Style.EXPECTED]
    prefixes = {one.prefix for one in facts.stored if one.prefix}
    if styles:
        example = next(
            one
            for one in facts.stored
            if styles[0] in one.styles and Style.EXPECTED not in one.styles
        )
        yield Finding(
            "names_differ",
            Severity.ERROR,
            f"names are stored with {' and '.join(style.value for style in styles)}: "
            f"{printable(example.counted, 60)}",
            "the boards ask for names with underscores, and unit and _total as suffixes, so they "
            "are empty",
            f"{'; '.join(sorted({_translation(one, facts) for one in found}))}. The old names "
            "stay until they are past retention",
        )
    if prefixes:
        yield Finding(
            "names_have_a_prefix",
            Severity.ERROR,
            f"names begin with {some(sorted(prefixes))}",
            "the boards ask for the names without it, so they are empty",
            "take `namespace` out of the Collector's prometheus exporter, or the relabelling that "
            "adds it",
        )
    native = [one.name for one in facts.stored if one.native]
    if native:
        yield Finding(
            "native_histograms",
            Severity.INFO,
            f"stored as native histograms: {some(native)}",
            "our boards and rules read them; queries of your own that read _bucket, _sum or _count "
            "find none",
            "nothing to do; for such queries, take out the exponential histogram: the View, or the "
            "environment's OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION; in "
            "Prometheus, convert_histograms_to_nhcb: false",
        )


def _translation(arrival: Arrival, facts: Facts) -> str:
    strategy = "translation_strategy: UnderscoreEscapingWithSuffixes"
    if arrival.way is Way.COLLECTOR:
        return f"in the Collector's prometheus exporter, {strategy}"
    if arrival.way is Way.VICTORIA_METRICS:
        return "start VictoriaMetrics with -opentelemetry.usePrometheusNaming"
    if facts.product.kind is Kind.PROMETHEUS and arrival.way is Way.PROMETHEUS:
        now = facts.product.translation
        return (
            f"in Prometheus' configuration, otlp: {{{strategy}}}{f' (it is {now})' if now else ''}"
        )
    return (
        "choose the translation with underscores and suffixes where the data is turned into "
        "Prometheus' form: the store's OTLP endpoint, or the Collector's exporter"
    )


def label_findings(facts: Facts, found: Sequence[Arrival]) -> Iterator[Finding]:
    """Labels that tell neither services nor processes apart."""
    for arrival in found:
        services = some(sorted(arrival.instances))
        if (arrival.service_label or "").startswith("exported_") or (
            arrival.instance_label or ""
        ).startswith("exported_"):
            yield Finding(
                "labels_exported",
                Severity.ERROR,
                f"{services}: job and instance are those of the Collector; the process' own are "
                "exported_job and exported_instance",
                "boards and alerts by job and instance see one service and one process",
                "in Prometheus' scrape_configs, for the job that scrapes the Collector: "
                "honor_labels: true",
            )
        if arrival.service_label not in ("job", "exported_job"):
            yield Finding(
                "labels_of_their_own",
                Severity.WARNING,
                f"{services}: no labels job and instance; service and process are in "
                f"{arrival.service_label or 'no label'} and {arrival.instance_label or 'none'}",
                "boards and alerts by job and instance find nothing",
                "make them of these, as dashboards/dev/victoria-metrics/relabel.yaml does: start "
                "VictoriaMetrics with -relabelConfig and that file"
                if arrival.way is Way.VICTORIA_METRICS
                else "make them of these where the data comes in, by relabelling",
            )
        no_instance = arrival.instance_label is None or any(
            "" in instances for instances in arrival.instances.values()
        )
        if no_instance or scrape_instance(arrival, facts):
            what = (
                "no label tells its processes apart"
                if no_instance
                else f"{arrival.instance_label} is the Collector's address, the same for all of "
                "its processes"
            )
            yield Finding(
                "no_instance",
                Severity.WARNING,
                f"{services}: {what}",
                "two processes, as the workers of gunicorn or two pods, write into the same "
                "series: numbers jump between them and rates are wrong",
                "give each process its own service.instance.id: a newer opentelemetry-sdk does by "
                "itself, else OTEL_RESOURCE_ATTRIBUTES=service.instance.id=NAME (per worker, "
                "after the fork)",
            )
        unknown = [name for name in arrival.instances if name.startswith("unknown_service")]
        if unknown and arrival.way is not Way.READER:
            yield Finding(
                "service_unnamed",
                Severity.WARNING,
                f"{some(unknown)}: the service has no name",
                "boards can't tell it from others without a name",
                "set OTEL_SERVICE_NAME",
            )
