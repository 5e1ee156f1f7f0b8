"""What is wrong with the data, what it means, and what to do: judged from the facts alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from opentelemetry.instrumentation.gluellm.diagnosis.findings import Severity
from opentelemetry.instrumentation.gluellm.text import seconds

from ..text import printable
from .facts import Facts
from .finding import Finding, age_text, past, some
from .missing import DELTA, NO_CALL, Missing, is_delta, missing
from .nothing import DOWN_SHOWN, nothing_found
from .stored_otherwise import label_findings, naming_findings
from .summed_wrong import collision_findings, double_findings
from .ways import Arrival, arrivals

_SERVICES_SHOWN = 12
_SLOW_INTERVAL = 75.0
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
                f"the services here: {some(facts.services, _SERVICES_SHOWN) or 'none has a name'}. "
                "Give a whole one, or its part after the last /",
            )
        ]
    living = arrivals(facts, facts.living)
    listed = [
        *_names_and_labels(facts, living),
        *collision_findings(facts),
        *double_findings(living),
        *_freshness(facts, found),
        *_gaps(facts),
        *_itself(facts),
    ]
    order = (Severity.ERROR, Severity.WARNING, Severity.INFO)
    return sorted(listed, key=lambda one: order.index(one.severity))


def cut_findings(queries: Sequence[str], most: int) -> list[Finding]:
    """Answers of which only the first rows were looked at."""
    if not queries:
        return []
    return [
        Finding(
            "answer_cut",
            Severity.WARNING,
            f"more than {most} series in the answer to {some(sorted(set(queries)), 2)}",
            f"the first {most} alone were looked at: what is counted above is too low, and a "
            "fault of the others is not seen",
            "ask for less: --service NAME, or a shorter --window",
        )
    ]


def _names_and_labels(facts: Facts, living: Sequence[Arrival]) -> list[Finding]:
    """Judged by what still gets samples: the rest is told as what was."""
    ended = arrivals(facts, facts.ended)
    newest = facts.newest_names
    current = [one for one in facts.stored if newest is None or one.counted in newest]
    rest = [one for one in facts.stored if one not in current]
    listed = [
        *naming_findings(replace(facts, stored=current), living),
        *label_findings(facts, living),
    ]
    kinds = {one.kind for one in listed}
    ago = facts.moment - max((one.newest for one in ended), default=facts.moment)
    were = [past(one, None) for one in naming_findings(replace(facts, stored=rest), ended)]
    were += [past(one, max(ago, 0.0)) for one in label_findings(facts, ended)]
    return listed + [one for one in were if one.kind not in kinds]


def _freshness(facts: Facts, found: Sequence[Arrival]) -> Iterator[Finding]:
    lasts = [(pair, last) for arrival in found for pair, last in arrival.last.items()]
    gone = [pair for pair, last in lasts if facts.now - last > facts.lookback]
    newest = max(last for _, last in lasts)
    age = facts.now - newest
    down = [pair for pair, _ in lasts if facts.targets.get(pair) == 0]
    if len(gone) == len(lasts):
        scraped = (
            "Prometheus can't scrape "
            f"{'; '.join(printable(one, 160) for one in facts.down[:DOWN_SHOWN])}. "
            if facts.down
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
    elif down:
        yield Finding(
            "target_down",
            Severity.WARNING,
            f"up is 0 for {some([' '.join(pair) for pair in down])}",
            "the process has ended, or its page can't be scraped (PrometheusMetricReader fails "
            "as a whole on an exponential histogram)",
            "open the page of that target: it tells the error",
        )
    elif gone:
        yield Finding(
            "some_ended",
            Severity.INFO,
            f"{len(gone)} of {len(lasts)} processes had no sample for 5 min",
            "they have ended, as after a deployment, or no longer export",
            f"if they should live, look at: {some([' '.join(filter(None, p)) for p in gone])}",
        )
    if age < -_AHEAD:
        yield Finding(
            "clock_ahead",
            Severity.WARNING,
            f"the newest sample is {seconds(-age)} ahead of the store's clock",
            "a process' clock is wrong: its newest values are not shown yet",
            "set the clock of that machine (NTP)",
        )
    if facts.young is not None:
        yield Finding(
            "rates_too_low",
            Severity.INFO,
            f"the oldest series began {age_text(facts.young)} ago, and rates look back "
            f"{age_text(facts.rate_window)}",
            "what was counted since is divided by the whole of that time",
            f"wait until there is data of {age_text(facts.rate_window)}",
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
                f"not there, and should be: {some([gap.metric.name for gap in several])}",
                reason,
                "look for a View in the program, for a filter processor in the Collector, for "
                "metric_relabel_configs",
            )
    if facts.unknown:
        yield Finding(
            "names_unknown",
            Severity.INFO,
            f"names of ours that this version does not know: {some(facts.unknown)}",
            "they are of another version of the package, or were renamed on their way",
            "verify with the gluellm-pools of the version that runs",
        )


def _itself(facts: Facts) -> Iterator[Finding]:
    if facts.missing_hooks:
        libraries = [f"{name} ({count:.0f})" for name, count in sorted(facts.missing_hooks.items())]
        yield Finding(
            "blind",
            Severity.WARNING,
            f"hooks missing: {some(libraries)}",
            "the installed version of that library lacks them, so some metrics stop",
            "the program's log names the hooks and what is not observed; docs/compatibility.md has "
            "the versions that were verified",
        )
    if facts.failures:
        kinds = [f"{kind} ({count:.0f})" for kind, count in sorted(facts.failures.items())]
        yield Finding(
            "own_failures",
            Severity.WARNING,
            f"the instrumentation's own failures and lost records: {some(kinds)}",
            "some numbers are too low",
            "look for the warnings of the logger opentelemetry.instrumentation.gluellm",
        )
