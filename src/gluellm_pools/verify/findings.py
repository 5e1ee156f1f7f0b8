"""What is wrong with the data of a store. ``findings.toml`` explains each kind of finding."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Sequence
from importlib.resources import files
from typing import cast

from gluellm_diagnosis.findings import Finding, Kind, Severity
from opentelemetry.instrumentation.gluellm.text import percent

from ..prometheus import Way, metric_name
from ..text import age_text, printable
from .client import MOST_ROWS
from .contents import LOOKBACK, PROCESS_LABELS, Contents
from .metrics import missing
from .paths import IngestionPath, has_scrape_address, paths, services_on_two_paths
from .product import PROMETHEUS, VICTORIA_METRICS

_TEXTS = tomllib.loads(files(__package__).joinpath("findings.toml").read_text(encoding="utf-8"))
_STRATEGY = "translation_strategy: UnderscoreEscapingWithSuffixes"
_SETTINGS: dict[Way | None, str] = {
    Way.COLLECTOR: f"in the Collector's prometheus exporter, set {_STRATEGY}, without `namespace`",
    Way.PROMETHEUS: f"in Prometheus' configuration, set otlp: {{{_STRATEGY}}}",
    Way.VICTORIA_METRICS: "start VictoriaMetrics with -opentelemetry.usePrometheusNaming",
}
_OTLP_PATHS = {PROMETHEUS: "/api/v1/otlp/v1/metrics", VICTORIA_METRICS: "/opentelemetry/v1/metrics"}


def _finding(kind: str, observed: str, **values: object) -> Finding:
    text = _TEXTS[kind]
    known = cast(Kind, kind)  # diagnose() has no such finding
    texts = {key: text[key].format(**values) for key in ("explanation", "advice")}
    return Finding(kind=known, severity=Severity(text["severity"]), observed=observed, **texts)


def findings(contents: Contents, cut: Sequence[str] = ()) -> list[Finding]:
    """Return the problems, errors first. ``cut`` are the queries whose answers were cut."""
    found = list(_found(contents))
    if cut:
        observed = f"more than {MOST_ROWS} series in the answer to {some(sorted(set(cut)), 2)}"
        found.append(_finding("answer_cut", observed, most=MOST_ROWS))
    return sorted(found, key=lambda one: list(Severity).index(one.severity))


def _found(contents: Contents) -> Iterator[Finding]:
    if not contents.stored:
        yield _nothing(contents)
    elif not contents.processes:
        observed = f"no process of the service {printable(contents.service)!r} has data here"
        services = some(contents.services, 12) or "none has a name"
        yield _finding("service_unknown", observed, services=services)
    else:
        living = paths(contents, contents.living)
        yield from _names(contents, living)
        for path in living:
            yield from _labels(contents, path)
        yield from _values(contents, living)
        gaps = missing(contents.stored)
        for kind in dict.fromkeys(reason.finding for reason in gaps.values() if reason.finding):
            names = [metric.name for metric, reason in gaps.items() if reason.finding == kind]
            yield _finding(kind, f"missing: {some(names)}")


def _nothing(contents: Contents) -> Finding:
    """Explain a store without data of this package."""
    if contents.others:
        names = some(contents.others)
        observed = f"metrics of another instrumentation, but no known metric of pools: {names}"
        return _finding("another_instrumentation", observed)
    path = _OTLP_PATHS.get(contents.product.name)
    url = f"{printable(contents.url, 200)}{path}" if path else "the store's URL"
    what = "series at all" if contents.empty else "metric of the pools"
    observed = f"the store has no {what} in the last {age_text(contents.window)}"
    if not contents.product.takes_otlp:
        observed += ", and its OTLP endpoint is off (Prometheus' --web.enable-otlp-receiver)"
    return _finding("store_empty", observed + _unscrapable(contents), endpoint=url)


def _names(contents: Contents, living: Sequence[IngestionPath]) -> Iterator[Finding]:
    current = [one for one in contents.stored if one.counted in contents.fresh]
    others = [one for one in current or contents.stored if one.name != metric_name(one.metric)]
    if others:
        settings = {_SETTINGS.get(path.way, f"set {_STRATEGY}") for path in living}
        yield _finding(
            "names_differ",
            f"{len(others)} metrics have other names: {printable(others[0].name, 80)} instead of "
            f"{metric_name(others[0].metric)}",
            setting="; ".join(sorted(settings)),
        )


def _labels(contents: Contents, path: IngestionPath) -> Iterator[Finding]:
    services = some(sorted(path.instances))
    service, instance = path.service_label or "no label", path.instance_label or "no label"
    if "exported_job" in (service, instance) or instance == "exported_instance":
        where = "job and instance are those of the Collector; those of the process are"
        yield _finding("labels_exported", f"{services}: {where} {service} and {instance}")
    elif service != "job":
        where = "no labels job and instance; service and process are in"
        yield _finding("labels_of_their_own", f"{services}: {where} {service} and {instance}")
    if has_scrape_address(path, contents):
        where = f"{instance} is the Collector's address, the same for all processes"
        yield _finding("no_instance", f"{services}: {where}")
    elif any("" in instances for instances in path.instances.values()):
        yield _finding("no_instance", f"{services}: no label distinguishes its processes")
    if unnamed := sorted(name for name in path.instances if name.startswith("unknown_service")):
        yield _finding("service_unnamed", f"{some(unnamed)}: programs without a service name")


def _values(contents: Contents, living: Sequence[IngestionPath]) -> Iterator[Finding]:
    age = contents.now - max(one.last for one in contents.processes)
    if age > LOOKBACK:
        observed = f"the newest sample is {age_text(age)} old{_unscrapable(contents)}"
        yield _finding("stopped", observed)
    if contents.falling is not None:
        labels, share = contents.falling
        who = " ".join(f"{key}={printable(labels[key])}" for key in PROCESS_LABELS if key in labels)
        # Prometheus rejects deltas.
        rejects = contents.product.name == PROMETHEUS
        observed = f"counters of {who or 'a process'} fall in {percent(share)} of their samples"
        yield _finding("processes_collide" if rejects else "counters_fall", observed)
    if contents.failures:
        yield _finding("own_failures", some(contents.failures))
    if services := services_on_two_paths(living):
        names = " and ".join(sorted({path.name for path in living}))
        yield _finding("arrives_twice", f"{some(services)} arrives by {names} at once")


def _unscrapable(contents: Contents) -> str:
    down = "; ".join(printable(one, 160) for one in contents.down[:3])
    return down and f". Prometheus can't scrape {down}"


def some(values: Sequence[str], most: int = 4) -> str:
    """Join the first few values, with the number of the others."""
    few = ", ".join(printable(value, 60) for value in values[:most])
    rest = len(values) - most
    return f"{few} and {rest} more" if rest > 0 else few
