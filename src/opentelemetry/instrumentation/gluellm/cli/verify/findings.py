"""What is wrong with the data, what it means, and what to do: judged from the facts alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ...diagnosis.findings import Severity
from ...pool.words import seconds
from ...telemetry.prometheus import Way
from ..text import printable
from .facts import Facts
from .finding import Finding
from .missing import DELTA, NO_CALL, Missing, is_delta, missing
from .naming import Style, styles_of
from .nothing import age_text, nothing_found
from .product import Kind
from .ways import Arrival, scrape_instance, twice

_FEW = 5
_SLOW_INTERVAL = 75.0
_SHARE_OF_RESETS = 0.2
_AHEAD = 10.0


def findings(facts: Facts, found: Sequence[Arrival]) -> list[Finding]:
    """What is wrong, the gravest first."""
    if not facts.stored:
        return [nothing_found(facts)]
    if not facts.processes:
        service = printable(facts.service or "")
        return [
            Finding(
                "service_unknown",
                Severity.ERROR,
                f"no process of the service {service!r} has data here",
                "the name is another one, or it sends elsewhere",
                "leave --service out to see which services there are",
            )
        ]
    listed = [
        *_naming(facts),
        *_labels(facts, found),
        *_collisions(facts),
        *_double(facts, found),
        *_freshness(facts, found),
        *_gaps(facts),
        *_itself(facts),
    ]
    order = (Severity.ERROR, Severity.WARNING, Severity.INFO)
    return sorted(listed, key=lambda one: order.index(one.severity))


def _names(values: Sequence[str]) -> str:
    few = ", ".join(printable(value, 60) for value in values[:_FEW])
    rest = len(values) - _FEW
    return f"{few} and {rest} more" if rest > 0 else few


def _naming(facts: Facts) -> Iterator[Finding]:
    styles = [style for style in styles_of(facts.stored) if style is not Style.EXPECTED]
    prefixes = {one.prefix for one in facts.stored if one.prefix}
    if styles:
        example = next(
            one for one in facts.stored if styles[0] in one.styles and len(one.styles) < len(Style)
        )
        cure = {
            Kind.VICTORIA_METRICS: "start VictoriaMetrics with -opentelemetry.usePrometheusNaming",
            Kind.PROMETHEUS: "in Prometheus' configuration, "
            "otlp: {translation_strategy: UnderscoreEscapingWithSuffixes} (it is "
            f"{facts.product.translation or 'something else'}); for the Collector's exporter "
            "translation_strategy: UnderscoreEscapingWithSuffixes, and no "
            "add_metric_suffixes: false",
        }.get(
            facts.product.kind,
            "choose the translation with underscores and suffixes where the data is turned into "
            "Prometheus' form: the store's OTLP endpoint, or the Collector's exporter",
        )
        yield Finding(
            "names_differ",
            Severity.ERROR,
            f"names are stored with {' and '.join(style.value for style in styles)}: "
            f"{printable(example.counted, 60)}",
            "the boards ask for names with underscores, and unit and _total as suffixes, so they "
            "are empty",
            f"{cure}. Then the old names stay until they are past retention",
        )
    if prefixes:
        yield Finding(
            "names_have_a_prefix",
            Severity.ERROR,
            f"names begin with {_names(sorted(prefixes))}",
            "the boards ask for the names without it, so they are empty",
            "take `namespace` out of the Collector's prometheus exporter, or the relabelling that "
            "adds it",
        )
    native = [one.name for one in facts.stored if one.native]
    if native:
        yield Finding(
            "native_histograms",
            Severity.ERROR,
            f"stored as native histograms: {_names(native)}",
            "the boards read the series of _bucket, which are not there",
            "take out the exponential histogram: the View, or the environment's "
            "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION; in Prometheus, "
            "convert_histograms_to_nhcb: false",
        )


def _labels(facts: Facts, found: Sequence[Arrival]) -> Iterator[Finding]:
    for arrival in found:
        services = _names(sorted(arrival.instances))
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
                f"{_names(unknown)}: the service has no name",
                "boards can't tell it from others without a name",
                "set OTEL_SERVICE_NAME",
            )


def _collisions(facts: Facts) -> Iterator[Finding]:
    worst = [
        (labels, falls, samples)
        for labels, falls, samples in facts.resets
        if falls >= _SHARE_OF_RESETS * samples
    ]
    if not worst:
        return
    labels, falls, samples = max(worst, key=lambda one: one[1])
    who = " ".join(
        f"{label}={printable(labels[label])}"
        for label in ("job", "instance", "service_name", "service_instance_id")
        if label in labels
    )
    yield Finding(
        "processes_collide",
        Severity.ERROR,
        f"counters of {who or 'one process'} fell {falls:.0f} times in {samples:.0f} samples",
        "several processes write into the same series, since their labels are the same: rates "
        "are far too high",
        "give each process its own service.instance.id: OTEL_RESOURCE_ATTRIBUTES="
        "service.instance.id=NAME, per worker after the fork; don't set one for all, and keep it "
        "in the Collector",
    )


def _double(facts: Facts, found: Sequence[Arrival]) -> Iterator[Finding]:
    services = twice(found, facts)
    if services:
        ways = " and ".join(sorted({arrival.name for arrival in found}))
        yield Finding(
            "arrives_twice",
            Severity.ERROR,
            f"{_names(sorted(services))} comes by {ways} at once",
            "sums over all series count each request twice",
            "switch one of the ways off, or give each its own store",
        )


def _freshness(facts: Facts, found: Sequence[Arrival]) -> Iterator[Finding]:
    lasts = [(pair, last) for arrival in found for pair, last in arrival.last.items()]
    gone = [pair for pair, last in lasts if facts.now - last > facts.lookback]
    newest = max(last for _, last in lasts)
    age = facts.now - newest
    down = [pair for pair, value in facts.targets.items() if value == 0]
    if len(gone) == len(lasts):
        scraped = (
            f"Scraped targets that are down: {_names([' '.join(pair) for pair in down])}. "
            if down
            else ""
        )
        yield Finding(
            "stopped",
            Severity.ERROR,
            f"the newest sample is {age_text(age)} old",
            "the processes have ended, or no longer reach this store, or their clock is that far "
            "behind. Boards show no data after 5 min",
            f"{scraped}Look for the process, then for what its SDK logs of the export, then for "
            "what the Collector logs and counts (otelcol_exporter_send_failed_metric_points)",
        )
    elif gone:
        yield Finding(
            "some_ended",
            Severity.INFO,
            f"{len(gone)} of {len(lasts)} processes had no sample for 5 min",
            "they have ended, as after a deployment, or no longer export",
            f"if they should live, look at: {_names([' '.join(filter(None, p)) for p in gone])}",
        )
    if age < -_AHEAD:
        yield Finding(
            "clock_ahead",
            Severity.WARNING,
            f"the newest sample is {seconds(-age)} ahead of the store's clock",
            "a process' clock is wrong: its newest values are not shown yet",
            "set the clock of that machine (NTP)",
        )
    if facts.interval is not None and facts.interval > _SLOW_INTERVAL:
        yield Finding(
            "interval_long",
            Severity.WARNING,
            f"samples are {seconds(facts.interval)} apart",
            "peaks are kept for 75 s by default and may fall between two samples; rates need a "
            "window of four intervals",
            "set OTEL_METRIC_EXPORT_INTERVAL (milliseconds), or the scrape_interval, to 60 s or "
            "less",
        )


def _gaps(facts: Facts) -> Iterator[Finding]:
    gaps = [gap for gap in missing(facts.stored) if not gap.expected]
    by_reason: dict[str, list[Missing]] = {}
    for gap in gaps:
        by_reason.setdefault(gap.reason, []).append(gap)
    if NO_CALL in by_reason:
        yield Finding(
            "no_call",
            Severity.WARNING,
            "instrument() was called, and no pool has served a request yet",
            "no LLM call was made through any-llm since, or it went through a client that is not "
            "observed",
            'make one call. For clients that are not any-llm\'s: instrument(scope="all")',
        )
    if is_delta(one.metric for one in facts.stored):
        yield Finding(
            "delta",
            Severity.ERROR,
            "gauges are there, and not one counter or histogram",
            "they were sent with delta temporality, which this store drops",
            "unset OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE, or put the deltatocumulative "
            "processor into the Collector",
        )
    for reason, several in by_reason.items():
        if reason not in (NO_CALL, DELTA):
            yield Finding(
                "metrics_missing",
                Severity.WARNING,
                f"not there, and should be: {_names([gap.metric.name for gap in several])}",
                reason,
                "look for a View in the program, for a filter processor in the Collector, and for "
                "metric_relabel_configs",
            )
    if facts.unknown:
        yield Finding(
            "names_unknown",
            Severity.INFO,
            f"names of ours that this version does not know: {_names(facts.unknown)}",
            "they are of another version of the package, or were renamed on their way",
            "verify with the gluellm-pools of the version that runs",
        )


def _itself(facts: Facts) -> Iterator[Finding]:
    if facts.blind:
        pairs = [f"{library}: {seam}" for library, seam in facts.blind]
        yield Finding(
            "blind",
            Severity.WARNING,
            f"seams that are 0: {_names(pairs)}",
            "the installed version of that library lacks what the signal rests on: it is off",
            "see docs/compatibility.md for the versions that were verified",
        )
    if facts.failures:
        kinds = [f"{kind} ({count:.0f})" for kind, count in sorted(facts.failures.items())]
        yield Finding(
            "own_failures",
            Severity.WARNING,
            f"the instrumentation's own failures and lost records: {_names(kinds)}",
            "some numbers are too low",
            "look for the warnings of the logger opentelemetry.instrumentation.gluellm",
        )
