"""One installation: connects observers, registry, adapters and attribution, and undoes it."""

from __future__ import annotations

import functools
import logging
import os
import time
import weakref
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from opentelemetry.metrics import MeterProvider
from opentelemetry.trace import TracerProvider

from .adapters import ADAPTERS
from .adapters.drains import StreamDrains
from .adapters.scope import Scope
from .adapters.unobserved import unobserved
from .attribution.any_llm import AnyLLMAttribution
from .attribution.context import current_call
from .attribution.gluellm import GlueLLMObserver, calls_per_minute
from .attribution.google_genai import GoogleCalls
from .attribution.hosts import Naming
from .attribution.http import HttpCalls
from .attribution.mistralai import MistralCalls
from .attribution.stainless import SDKS, StainlessCalls
from .concurrency import snapshot_of, threads_are_greenlets
from .config import Config, split_host
from .environment import ENVIRONMENT_PREFIX
from .failures import warn
from .patching import Hooks
from .pool import call_site
from .pool.call import LiveCalls
from .pool.registry import PoolRegistry
from .snapshots.collect import collect
from .snapshots.pool_timeout_note import NoteObserver
from .snapshots.snapshot import Snapshot
from .telemetry import instruments, logs
from .telemetry.entry import EntryObserver, entry_context, suppressed
from .telemetry.gauges import StateSource
from .telemetry.genai import GenAISpans
from .telemetry.histograms import DurationObserver
from .telemetry.resource import identity_of
from .telemetry.semconv import provider_key
from .telemetry.spans import SpanObserver, records_spans, tracer_of
from .watch.judgement import Found, Judgement
from .watch.loop_lag import LoopLag
from .watch.watch import Watch

if TYPE_CHECKING:
    from .attribution.sdk import SdkCalls
    from .http_spans import HttpSpans
    from .snapshots.on_signal.reporter import SignalReporter

_TIME_TO_SET_PROVIDERS = 60 * 10**9
"""Nanoseconds that a program has to set its providers before the log says that one is missing."""


class Installation:
    """Everything that ``instrument()`` turns on and ``uninstrument()`` turns off."""

    def __init__(
        self,
        config: Config,
        *,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
        clients_only: bool = False,
        signal_must_work: bool = False,
    ) -> None:
        self.clients_only = clients_only
        """Whether only the clients passed to ``instrument_client()`` are observed."""
        self._config = config
        self._signal_must_work = signal_must_work
        self._instruments = instruments.of_provider(meter_provider)
        ledgers = self._instruments.ledgers
        self._failures = ledgers.failures
        spans = SpanObserver(tracer_of(tracer_provider), config.span_min_duration)
        durations = DurationObserver(
            self._instruments,
            record_call=spans.record_call,
            full=config.metrics == "full",
            model_attributes=config.model_attributes,
            time_in_queue=config.time_in_queue,
        )
        self.drain = durations.drain
        self._watch_observer = logs.WatchObserver()
        self._finding_observer = logs.FindingObserver(lambda: self.registry.clock())
        hosts = {split_host(host): provider_key(p) for host, p in (config.hosts or {}).items()}
        naming = Naming(hosts, GenAISpans().current)
        self.registry = PoolRegistry(
            (
                EntryObserver(),
                durations,
                spans,
                NoteObserver(),
                self._watch_observer,
                self._finding_observer,
            ),
            max_origins=config.max_origins,
            peak_window=config.peak_window,
            ledgers=ledgers,
            entry_context=entry_context(),
            find_call_site=(
                functools.partial(call_site.find, whole=True)
                if config.leak_stacks
                else call_site.find
            ),
            provider_for_host=naming.provider,
            loop_lag=config.loop_lag,
            silence_threshold=config.silence_threshold,
        )
        self.registry.counts_outside = not clients_only
        self._began = time.monotonic_ns()
        if meter_provider is None:
            self._watch_observer.metrics_lost = functools.partial(
                _metrics_are_lost, self.registry, self._began, self._instruments, tracer_provider
            )
        self._loop_lag = LoopLag(self.registry, config.peak_window) if config.loop_lag else None
        self._judgement: Judgement | None = None
        if _judges(config.findings):
            self._judgement = Judgement(self.registry, self._judge, config.findings_interval)
        self._watch = Watch(
            self.registry,
            leak_threshold=config.leak_threshold,
            loop_lag=self._loop_lag,
            peer_check_after=config.peer_check_after,
            judgement=self._judgement,
        )
        self._source = StateSource(
            self.registry,
            self.drain,
            self._hooks,
            self._before_collection,
            self._loop_lag,
            self._watch.suspects,
            self._watch.silent_peers.connections,
            self._judgement,
        )
        calls = self.registry.calls if config.calls else None
        http = HttpCalls(self._failures.caught, self.registry.find_call_site, calls, naming)
        self._scope_of = functools.partial(
            Scope,
            registry=self.registry,
            current_call=(lambda: None) if clients_only else current_call.get,
            suppressed=suppressed,
            note_streaming=config.metrics == "full",
            everything=config.scope == "all" and not clients_only,
            calls_model=(lambda *_: None) if clients_only else http.described,
            begin_call=http.begin,
        )
        self._attribution = (
            (StreamDrains(),) if clients_only else (*self._calls_of(calls, naming), StreamDrains())
        )
        self._adapters = tuple(
            adapter(module, logs.warn_of_missing_hooks)
            for adapter in ADAPTERS
            for module in adapter.MODULES
        )
        self._reporter = self._reporter_on(config.snapshot_signal, tracer_provider)
        self._http_spans: HttpSpans | None = None
        if config.http_spans and not clients_only:
            from .http_spans import HttpSpans

            self._http_spans = HttpSpans(
                tracer_provider=tracer_provider, meter_provider=meter_provider
            )

    def _calls_of(
        self, calls: LiveCalls | None, naming: Naming
    ) -> tuple[AnyLLMAttribution | GlueLLMObserver | SdkCalls, ...]:
        """Return what hooks any-llm, GlueLLM and the SDKs."""
        caught, warn_of_missing = self._failures.caught, logs.warn_of_missing_hooks
        any_llm = AnyLLMAttribution(
            caught, warn_of_missing, whole_stacks=self._config.leak_stacks, calls=calls
        )
        gluellm = () if calls is None else (GlueLLMObserver(caught, warn_of_missing, calls),)
        settings = caught, warn_of_missing, self.registry.find_call_site, calls, naming
        sdks = [StainlessCalls(sdk, *settings) for sdk in SDKS]
        return (any_llm, *gluellm, *sdks, GoogleCalls(*settings), MistralCalls(*settings))

    def install(self) -> None:
        """Apply all patches and connect the instruments. Undoes everything if a step raises."""
        try:
            self._watch.start()
            for adapter in self._adapters:
                adapter.install(self._scope_of)
            for patches in self._attribution:
                patches.install()
            self._instruments.connect(self._source)
            _installations.add(self)
            self._listen_to_signal()
            # Report failures now: if the SDK failed, there may be no collection to report them.
            logs.warn_of_failures(self._failures)
            if self._http_spans is not None:
                self._http_spans.install()
        except BaseException:
            self.uninstall()
            raise

    def uninstall(self) -> None:
        """Undo everything in reverse order. The contents of the outbox are still recorded.

        If a signal handler interrupts it, it can be called again.
        """
        _installations.discard(self)
        steps: list[Callable[[], None]] = [
            *([self._http_spans.uninstall] if self._http_spans is not None else ()),
            *([self._reporter.uninstall] if self._reporter is not None else ()),
            *(patches.uninstall for patches in reversed(self._attribution)),
            *(adapter.uninstall for adapter in reversed(self._adapters)),
            self._watch.stop,
            self.drain.all,
            self._instruments.disconnect,
            self.registry.close,
        ]
        for step in steps:
            try:
                step()
            except Exception as error:
                self._failures.caught("uninstall", error)

    def track(self, pools: Iterable[tuple[str, Any, Mapping[str, Any]]]) -> None:
        """Track pools before their next request, each with its library and what it lists."""
        for library, pool, listed in pools:
            host = next((one["host"] for one in listed["connections"]), "")
            for adapter in self._adapters:
                if adapter.library == library:
                    adapter.track(pool, host, listed)

    def read_sockets(self) -> None:
        """Read the sockets of silent connections now, also of pools that get no request."""
        for tracker in snapshot_of(self.registry.trackers.values):
            self._watch.silent_peers.check(tracker, self.registry.clock())

    def snapshot(self) -> Snapshot:
        """Return the live pools, the counts so far and the state of the process."""
        return collect(
            self.registry,
            began=self._began,
            leak_threshold=self._config.leak_threshold,
            loop_lag=self._loop_lag,
            leak_suspects=self._watch.suspects(),
            silent_peers=self._watch.silent_peers,
            account=self._watch.account,
            calls_per_minute=calls_per_minute(),
            hooks=self._hooks(),
            observed=tuple(one.library for one in self._adapters if one.hooks is not None),
            unobserved=self._unobserved(),
        )

    def _judge(self) -> Callable[[], Iterable[Found]]:
        # Imported at the first judgement: a program that never waits does not pay for the rules.
        from gluellm_diagnosis.diagnose import diagnose

        failed = functools.partial(self._failures.caught, "judgement")
        return lambda: diagnose(self.snapshot(), failed=failed)

    def _reporter_on(
        self, signal_name: str | None, tracer_provider: TracerProvider | None
    ) -> SignalReporter | None:
        if signal_name is None:
            return None
        # A signal must not be the first to import what it needs.
        from .snapshots import text  # noqa: F401
        from .snapshots.on_signal.reporter import SignalReporter

        reporter = SignalReporter(
            signal_name,
            self.snapshot,
            self._text_of,
            logs.write_report,
            self._failures.caught,
            functools.partial(self._about, tracer_provider),
        )
        if self._judgement is not None:
            self._judgement.changed = reporter.refresh
        return reporter

    def _about(self, tracer_provider: TracerProvider | None) -> dict[str, Any]:
        """Return what the doctor's list shows of this process.

        Without judgements, ``findings`` is missing; before the first one, it is None.
        """
        identity, judgement = identity_of(tracer_provider), self._judgement
        if judgement is None:
            return identity
        found = [f"{a.severity}: {logs.title_of(a.finding)}" for a in judgement.now.values()]
        return {**identity, "findings": found if judgement.count else None}

    def _text_of(self, snapshot: Snapshot) -> str:
        active = self._judgement.now.values() if self._judgement is not None else ()
        return "\n\n".join([*(str(one.finding) for one in active), str(snapshot)])

    def _listen_to_signal(self) -> None:
        if self._reporter is None:
            return
        try:
            self._reporter.install()
        except ValueError as error:
            if self._signal_must_work:
                raise
            # A wrong environment variable must not stop a program from starting.
            warn("%s. Reports on a signal are turned off.", error)

    def _unobserved(self) -> tuple[str, ...]:
        over = (
            f"{one.library} (replaced by {one.replaced_by})"
            for one in self._adapters
            if one.replaced_by
        )
        return (*over, *unobserved())

    def _before_collection(self) -> None:
        logs.warn_of_failures(self._failures)
        logs.warn_of_unobserved(unobserved())
        registry = self.registry
        if registry.counts_outside and (registry.outside or registry.ledgers.pools):
            registry.counts_outside = False
            if not registry.ledgers.pools:
                logs.log_requests_outside(registry.outside, self._config.scope)

    def _hooks(self) -> list[Hooks]:
        sources = (*self._adapters, *self._attribution)
        return [each.hooks for each in sources if each.hooks is not None]

    def after_fork_in_child(self) -> None:
        """Reset all counts and state: they belong to the parent."""
        self.drain.after_fork_in_child()
        self._began = time.monotonic_ns()
        self.registry.forget()
        self._watch.after_fork_in_child()
        self._watch_observer.forget()
        self._finding_observer.forget()
        self._source.finding_series.clear()
        if self._reporter is not None:
            self._reporter.after_fork_in_child()


_installations: weakref.WeakSet[Installation] = weakref.WeakSet()


def _of_each(step: Callable[[Installation], None]) -> Callable[[], None]:
    def each() -> None:
        for installation in snapshot_of(lambda: _installations):
            step(installation)

    return each


if hasattr(os, "register_at_fork"):
    # Can't be unregistered, so it is registered once and covers all installations.
    os.register_at_fork(
        before=_of_each(lambda installation: installation.drain.before_fork()),
        after_in_parent=_of_each(lambda installation: installation.drain.after_fork_in_parent()),
        after_in_child=_of_each(Installation.after_fork_in_child),
    )


def _judges(findings: bool | None) -> bool:
    if findings is None and threads_are_greenlets():
        warn(
            "The process is not judged, since a judgement would block all greenlets. To emit "
            "findings nevertheless, set %sFINDINGS=true.",
            ENVIRONMENT_PREFIX,
            level=logging.INFO,
        )
        return False
    return findings is not False


def _metrics_are_lost(
    registry: PoolRegistry,
    began: int,
    meter: instruments.MeterInstruments,
    tracer_provider: TracerProvider | None,
) -> bool:
    return (
        registry.clock() - began >= _TIME_TO_SET_PROVIDERS
        and not meter.active
        and records_spans(tracer_provider)
    )
