"""The demo: starts what acts need, plays them one after the other, and sums up."""

from __future__ import annotations

import asyncio
import gc
import logging
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass, field

from opentelemetry.sdk.metrics.export import MetricReader
from rich.console import Console

from gluellm_diagnosis.diagnose import diagnose
from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor, snapshot

from ..arguments import EXIT_INTERRUPTED
from ..fake_provider import FakeProviderThread
from ..render import row_label
from ..screens import Terminal
from ..verdicts import calls_verdict
from ..view import CallKey, CallsView, Key, PoolKey, PoolView, View
from .acts import Act
from .evidence import LATE, MEASURES, WARNINGS, Observed, evidence_text, holds
from .load import Load, avoid_proxy
from .logs import Logs
from .screen import Screen
from .targets import ANTHROPIC, HTTP2, MAX_STREAMS, OPENAI, POOL_NAMES, QUICK, TARGETS
from .telemetry import Telemetry
from .verdict import NOT_KNOWN, Cause, cause_of, main_finding, short

_SETTLE = 0.05
"""Seconds in which requests that ended complete their last steps."""
_LEAK_THRESHOLD = _SILENCE_THRESHOLD = 2.0
"""Seconds; for leaks the least that is allowed."""
_NEXT_CHECK = 1.5
"""Seconds in which the instrumentation checks its pools, which it does once a second."""
_TICK = 0.25
_LONGEST_HOLD = 3.0
"""Seconds that the last frame of an act stays while its load runs; at most a quarter of the act."""
_OVERTIME = 20.0
"""Seconds beyond its length that an act waits for its evidence, on a busy machine."""
_LONGEST_NOTE = 500


def run(acts: Sequence[tuple[Act, float]], readers: Sequence[MetricReader] = ()) -> int:
    """Play acts of so many seconds each, print, and return the exit status.

    ``readers`` read the metrics as well.
    """
    avoid_proxy()
    logs = Logs()
    logging.basicConfig(handlers=[logs], level=logging.WARNING, force=True)
    with ExitStack() as stack:
        providers = {
            target: stack.enter_context(
                FakeProviderThread(behaviour=QUICK, http2=target == HTTP2, max_streams=MAX_STREAMS)
            )
            for target in TARGETS
        }
        telemetry = Telemetry(readers)
        stack.callback(telemetry.shutdown)
        instrumentor = GlueLLMInstrumentor()
        instrumentor.instrument(
            meter_provider=telemetry.meter_provider,
            tracer_provider=telemetry.tracer_provider,
            leak_threshold=_LEAK_THRESHOLD,
            silence_threshold=_SILENCE_THRESHOLD,
        )
        stack.callback(instrumentor.uninstrument)
        demo = Demo(telemetry, logs, providers)
        status = asyncio.run(demo.play(acts))
    for line in logs.others():
        demo.say(f"logged meanwhile: {short(line, _LONGEST_NOTE)}", "dim")
    demo.sum_up()
    return status


@dataclass
class Demo:
    """What the acts share."""

    telemetry: Telemetry
    logs: Logs
    providers: Mapping[str, FakeProviderThread]
    console: Console = field(default_factory=Terminal)
    load: Load = field(init=False)
    plays: list[Play] = field(default_factory=list)
    """The acts so far."""

    async def play(self, acts: Sequence[tuple[Act, float]]) -> int:
        self.load = Load(self.providers)
        self.say(
            "Real any-llm calls to a fake provider on this machine, and their connection pools. "
            f"Takes about {sum(seconds for _, seconds in acts):.0f} s; Ctrl-C ends it."
        )
        if self.telemetry.endpoint:
            self.say(f"Exporting to {short(self.telemetry.endpoint, 80)} over OTLP/HTTP.")
        status = 0
        try:
            await self.load.warm_up()
            for number, (act, seconds) in enumerate(acts, 1):
                play = Play(self, act, seconds, f"act {number} of {len(acts)}")
                self.plays.append(play)
                await play.run()
        except asyncio.CancelledError:
            status = EXIT_INTERRUPTED  # Ctrl-C: asyncio.run cancels the main task
        await self.load.close()
        self.say("Interrupted: requests in flight were cancelled." if status else "")
        return status

    def key(self, target: str) -> PoolKey:
        library = type(self.load.http_clients[target]).__module__.partition(".")[0]
        return PoolKey(POOL_NAMES[target], library)

    def calls_key(self, target: str) -> CallKey:
        return CallKey(ANTHROPIC if target == ANTHROPIC else OPENAI, "any_llm")

    def say(self, line: str, style: str | None = None) -> None:
        self.console.print(line, style=style)

    def sum_up(self) -> None:
        """Print what callers saw, whose fault it was, and what to run next."""
        errors: dict[str, list[str]] = {}
        faults: dict[str, list[str]] = {}
        for play in self.plays:
            errors.setdefault(play.error.rstrip("."), []).append(play.act.name)
            faults.setdefault(play.cause.at_fault, []).append(play.act.name)
        self.say(f"Callers saw, by act: {_by_act(errors) or 'no errors'}.", "bold")
        self.say(f"At fault, by act: {_by_act(faults) or 'none found'}.", "bold")
        self.say("To check your own program: gluellm-pools doctor -- python app.py", "bold")


def _by_act(acts: Mapping[str, Sequence[str]]) -> str:
    return "; ".join(f"{what} ({', '.join(its)})" for what, its in acts.items() if what)


@dataclass
class Play:
    """One act that is being played."""

    demo: Demo
    act: Act
    seconds: float
    where: str
    cause: Cause = NOT_KNOWN
    """What the package's own data shows."""
    error: str = ""
    """What failing callers see."""

    async def run(self) -> None:
        demo, act, load = self.demo, self.act, self.demo.load
        await self._prepare_providers()
        demo.logs.leaks = 0
        self._before, self._earlier = demo.telemetry.read(), snapshot()
        self._began = time.monotonic()
        async with AsyncExitStack() as effects:
            fault = act.fault(load, self._began + self.seconds, effects)
            traffic = asyncio.create_task(load.play(act.traffic, fault))
            try:
                heading = f"{self.where}: {act.name}"
                keys: list[Key] = [demo.calls_key(act.shown[0]), *map(demo.key, act.shown)]
                with Screen(demo.console, heading, act.line, self.seconds, keys) as screen:
                    await self._watch(screen, traffic)
                if self.cause.advice:
                    demo.say(f"advice: {short(self.cause.advice, _LONGEST_NOTE)}", "bold")
                await asyncio.wait([traffic], timeout=max(self.seconds - self._elapsed(), 0))
                load.end()
                await traffic
            finally:
                traffic.cancel()
                await asyncio.wait([traffic])
            await asyncio.sleep(_SETTLE)
            observed = self._observed(self._view())
            text = evidence_text(act.evidence, observed)
            if holds(act.evidence, observed):
                demo.say(f"observed in {self._elapsed():.0f} s: {text}", "green")
            else:
                demo.say(f"NOT OBSERVED: {text}", "bold red")
        gc.collect()  # clients that calls built for themselves
        if any(one.client_per_call for one in act.traffic):
            await asyncio.sleep(_NEXT_CHECK)  # the warning on them belongs to this act
        self._print_logs()

    async def _prepare_providers(self) -> None:
        """Make the providers behave as the act says. No request is in flight here."""
        for target, provider in self.demo.providers.items():
            provider.behaviour = self.act.behaviours.get(target, QUICK)
            if target in self.act.refusing:
                await provider.call(provider.refuse())
                await provider.call(provider.drop())
            else:
                await provider.call(provider.listen())
        await asyncio.sleep(_SETTLE)

    async def _watch(self, screen: Screen, traffic: asyncio.Task[None]) -> None:
        """Show frames until the last one, which has the evidence unless that takes too long."""
        last_after = self.seconds - min(_LONGEST_HOLD, self.seconds / 4)
        due = screen.interval
        while not traffic.done():
            await asyncio.wait([traffic], timeout=min(_TICK, max(due - self._elapsed(), 0)))
            self._print_logs()
            view, elapsed = self._view(), self._elapsed()
            is_shown = holds(self.act.evidence, self._observed(view))
            is_last = elapsed >= last_after and (is_shown or elapsed >= self.seconds + _OVERTIME)
            if is_last or elapsed >= due:
                due = elapsed + screen.interval
                self._show(screen, view)
            if is_last:
                return

    def _show(self, screen: Screen, view: View) -> None:
        demo = self.demo
        caller = self.act.shown[0]
        findings = diagnose(snapshot(), self._earlier)
        finding = main_finding(findings, row_label(demo.key(caller)))
        key = demo.calls_key(caller)
        symptom, self.error = demo.load.symptoms[caller].text(key.provider)
        self.cause = cause_of(finding, calls_verdict(view, key), self.error)
        verdict = {"what callers see": symptom, "at fault": self.cause.text}
        screen.show(self._elapsed(), verdict, view)

    def _print_logs(self) -> None:
        """Print what was logged since the last time, and a pool timeout that names its cause."""
        load, say = self.demo.load, self.demo.say
        explained, load.explained = load.explained, []
        if explained:
            say(f"caught: {short(explained[0], _LONGEST_NOTE)}", "magenta")
        for note in explained[1:]:
            # It numbers and lists the holders; one is enough here.
            first = note.partition("; (2)")[0].replace("holders: (1)", "holder:")
            say(f"  its note: {short(first, _LONGEST_NOTE)}", "magenta")
        for line in self.demo.logs.take():
            say(f"logged: {short(line, _LONGEST_NOTE)}", "yellow")

    def _elapsed(self) -> float:
        return time.monotonic() - self._began

    def _view(self) -> View:
        """Return the metrics of the act so far."""
        return self.demo.telemetry.read().since(self._before, self._elapsed())

    def _observed(self, view: View) -> Observed:
        demo = self.demo
        found = {("", LATE): view.late_share, ("", WARNINGS): demo.logs.leaks}
        for target in TARGETS:
            pool = view.pools.get(demo.key(target)) or PoolView()
            calls = view.calls.get(demo.calls_key(target)) or CallsView()
            found |= {(target, name): of(pool, calls) for name, of in MEASURES.items()}
        return found
