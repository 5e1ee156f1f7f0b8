"""The demo: plays acts, each in a process of its own, and sums up."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import multiprocessing
import signal
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import NamedTuple

from opentelemetry.sdk.metrics.export import MetricReader
from rich.console import Console

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor

from ..arguments import EXIT_INTERRUPTED, CommandError
from ..fake_provider import FakeProviderThread
from ..screens import Terminal
from ..text import printable_lines
from ..view import CallKey, CallsView, Key, PoolKey, PoolView, View
from .acts import SCENARIOS, Act
from .evidence import MEASURES, WARNINGS, Observed, evidence_text, holds
from .load import Load, avoid_proxy
from .logs import Logs
from .screen import Screen
from .targets import ANTHROPIC, HTTP2, MAX_STREAMS, OPENAI, POOL_NAMES, QUICK, TARGETS
from .telemetry import Telemetry
from .verdict import NOT_JUDGED, Cause, cause_of, short, shortened

_SETTLE = 0.05
"""Seconds in which requests that ended complete their last steps."""
_LEAK_THRESHOLD = _SILENCE_THRESHOLD = 2.0
"""Seconds; for leaks the least that is allowed."""
_JUDGEMENTS = 2
"""Judgements without a finding after which all is well: a warning takes two judgements."""
_TICK = 0.25
_LONGEST = 25.0
"""Seconds that an act waits for its finding."""
_OVERTIME = 20.0
"""Seconds beyond a given length that an act waits for its evidence, on a busy machine."""
_LONGEST_NOTE = 500


class ActResult(NamedTuple):
    """What an act has shown."""

    act: str
    error: str
    """What failing callers saw; empty for nothing."""
    at_fault: str
    """Party at fault; empty for nobody."""


def run(acts: Sequence[Act]) -> int:
    """Play each act in a process of its own, sum up, and return the exit status."""
    console = Terminal()
    console.print(
        "Real any-llm calls to a fake provider on this machine, and their connection pools. "
        "Each act lasts until its process finds what is wrong, at most 25 s; Ctrl-C ends it."
    )
    outcomes: list[ActResult] = []
    status = 0
    try:
        for where, act in headed(acts):
            outcomes += _played_apart(where, act)
    except KeyboardInterrupt:
        console.print("\nInterrupted: requests in flight were cancelled.")
        status = EXIT_INTERRUPTED
    errors, faults = (
        _by_act((outcome.act, each) for outcome, each in zip(outcomes, texts, strict=True))
        for texts in ([one.error for one in outcomes], [one.at_fault for one in outcomes])
    )
    console.print(f"\nCallers saw, by act: {errors or 'no errors'}.", style="bold")
    console.print(f"At fault, by act: {faults or 'none found'}.", style="bold")
    console.print("To check your own program: gluellm-pools doctor -- python app.py", style="bold")
    return status


def headed(acts: Sequence[Act]) -> list[tuple[str, Act]]:
    """Return each act with its number, for its heading."""
    return [(f"act {number} of {len(acts)}", act) for number, act in enumerate(acts, 1)]


def _by_act(found: Iterable[tuple[str, str]]) -> str:
    acts: dict[str, list[str]] = {}
    for act, what in found:
        acts.setdefault(what, []).append(act)
    return "; ".join(f"{what} ({', '.join(its)})" for what, its in acts.items() if what)


def _played_apart(where: str, act: Act) -> list[ActResult]:
    """Play an act in a new process. Raises CommandError and ModuleNotFoundError."""
    context = multiprocessing.get_context("spawn")
    ours, its = context.Pipe()
    process = context.Process(target=_play_apart, args=(where, act.name, its))
    # Ctrl-C reaches both processes. This one ends the other, by closing the connection.
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        process.start()
    finally:
        signal.signal(signal.SIGINT, handler)
    its.close()
    try:
        result: list[ActResult] | ModuleNotFoundError = ours.recv()
    except EOFError:
        raise CommandError(f"the process of the act {act.name} has failed") from None
    finally:
        ours.close()
        process.join()
    if isinstance(result, ModuleNotFoundError):
        raise result
    return result


def _play_apart(where: str, name: str, connection: Connection) -> None:
    result: list[ActResult] | ModuleNotFoundError
    try:
        result = play([(where, SCENARIOS[name])], connection=connection)
    except ModuleNotFoundError as error:
        result = error
    with contextlib.suppress(OSError):  # the demo was interrupted
        connection.send(result)


def play(
    acts: Sequence[tuple[str, Act]],
    readers: Sequence[MetricReader] = (),
    *,
    seconds: float | None = None,
    connection: Connection | None = None,
) -> list[ActResult]:
    """Play acts in this process, print, and return what they have shown.

    An act lasts for ``seconds``, or until its finding is shown. The other end of ``connection``
    ends it when it is closed. ``readers`` read the metrics as well.
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
        outcomes = asyncio.run(demo.play(acts, seconds, connection))
    for line in logs.others():
        demo.say(f"logged meanwhile: {short(line, _LONGEST_NOTE)}", "dim")
    return outcomes


@dataclass
class Demo:
    """What the acts of a process share."""

    telemetry: Telemetry
    logs: Logs
    providers: Mapping[str, FakeProviderThread]
    console: Console = field(default_factory=Terminal)
    load: Load = field(init=False)

    async def play(
        self, acts: Sequence[tuple[str, Act]], seconds: float | None, connection: Connection | None
    ) -> list[ActResult]:
        if connection is not None:
            _cancel_at_end_of(connection)
        self.load = Load(self.providers)
        if self.telemetry.endpoint:
            self.say(f"Exporting to {short(self.telemetry.endpoint, 80)} over OTLP/HTTP.")
        outcomes = []
        try:
            await self.load.warm_up()
            for where, act in acts:
                play = Play(self, act, seconds, where)
                await play.run()
                outcomes.append(ActResult(act.name, play.error.rstrip("."), play.cause.at_fault))
        except asyncio.CancelledError:
            pass  # interrupted
        await self.load.close()
        return outcomes

    def view(self) -> View:
        return self.telemetry.read(self.logs.evidence)

    def key(self, target: str) -> PoolKey:
        library = type(self.load.http_clients[target]).__module__.partition(".")[0]
        return PoolKey(POOL_NAMES[target], library)

    def calls_key(self, target: str) -> CallKey:
        return CallKey(ANTHROPIC if target == ANTHROPIC else OPENAI, "any_llm")

    def say(self, line: str, style: str | None = None) -> None:
        self.console.print(line, style=style)


def _cancel_at_end_of(connection: Connection) -> None:
    """Cancel the current task when the other end of the connection is closed."""
    task, loop = asyncio.current_task(), asyncio.get_running_loop()
    assert task is not None

    def wait() -> None:
        with contextlib.suppress(EOFError, OSError):
            connection.recv()
        with contextlib.suppress(RuntimeError):  # the acts are over, and so is the loop
            loop.call_soon_threadsafe(task.cancel)

    threading.Thread(target=wait, daemon=True).start()


@dataclass
class Play:
    """One act that is being played."""

    demo: Demo
    act: Act
    seconds: float | None
    where: str
    cause: Cause = NOT_JUDGED
    error: str = ""
    """What failing callers see."""

    async def run(self) -> None:
        demo, act, load = self.demo, self.act, self.demo.load
        await self._prepare_providers()
        demo.logs.leaks = 0
        self._before = demo.view()
        self._began = time.monotonic()
        async with AsyncExitStack() as effects:
            fault = act.fault(load, effects)
            traffic = asyncio.create_task(load.play(act.traffic, fault))
            try:
                heading = f"{self.where}: {act.name}"
                keys: list[Key] = [demo.calls_key(act.shown[0]), *map(demo.key, act.shown)]
                with Screen(demo.console, heading, act.line, keys) as screen:
                    await self._watch(screen, traffic)
                load.end()
                await traffic
            finally:
                traffic.cancel()
                await asyncio.wait([traffic])
            await asyncio.sleep(_SETTLE)
            view = self._view()
            text = evidence_text(act.evidence, self._observed(view))
            if self._is_shown(view):
                demo.say(f"observed in {self._elapsed():.0f} s: {text}", "green")
            else:
                demo.say(f"NOT OBSERVED: {text}", "bold red")
        gc.collect()  # clients that calls built for themselves
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
        """Show frames until the last one, which has what the act is to show, or is too late."""
        shortest = self.seconds or 0.0
        longest = self.seconds + _OVERTIME if self.seconds else _LONGEST
        due = screen.interval
        while not traffic.done():
            await asyncio.wait([traffic], timeout=min(_TICK, max(due - self._elapsed(), 0)))
            self._print_logs()
            view, elapsed = self._view(), self._elapsed()
            is_last = elapsed >= longest or (elapsed >= shortest and self._is_shown(view))
            if is_last or elapsed >= due:
                due = elapsed + screen.interval
                self._show(screen, view)
            if is_last:
                return

    def _is_shown(self, view: View) -> bool:
        """Whether the evidence holds and, if the act has no given length, its finding is there."""
        if not holds(self.act.evidence, self._observed(view)):
            return False
        found, expected = self._cause(view), self.act.finding
        judged_enough = (view.judgements or 0) >= _JUDGEMENTS and not found.kind
        is_found = found.kind in expected and found.is_whole
        return self.seconds is not None or (is_found if expected else judged_enough)

    def _cause(self, view: View) -> Cause:
        demo, shown = self.demo, self.act.shown
        keys = (subject for one in shown for subject in (demo.key(one), demo.calls_key(one)))
        return cause_of(view, (*keys, None), self.act.finding)

    def _show(self, screen: Screen, view: View) -> None:
        caller, load = self.act.shown[0], self.demo.load
        provider = self.demo.calls_key(caller).provider
        symptom, self.error = load.symptoms[caller].text(provider)
        self.cause = self._cause(view)
        verdict = {"what callers see": symptom, "at fault": self.cause.text}
        screen.show(self._elapsed(), verdict, view)

    def _print_logs(self) -> None:
        """Print what was logged since the last time, and a pool timeout that names its cause."""
        load, say = self.demo.load, self.demo.say
        explained, load.explained = load.explained, []
        if explained:
            say(f"caught: {short(explained[0], _LONGEST_NOTE)}", "magenta")
        for note in explained[1:]:
            # The note lists numbered holders; one is enough here.
            first = note.partition("; (2)")[0].replace("holders: (1)", "holder:")
            say(f"  its note: {short(first, _LONGEST_NOTE)}", "magenta")
        for message in self.demo.logs.take():
            first, _, finding = message.partition("\n")
            if finding:  # it has all of the first line
                say(printable_lines(f"logged:\n{shortened(finding)}"), "yellow")
            else:
                say(f"logged: {short(first, _LONGEST_NOTE)}", "yellow")

    def _elapsed(self) -> float:
        return time.monotonic() - self._began

    def _view(self) -> View:
        """Return the metrics of the act so far."""
        return self.demo.view().since(self._before, self._elapsed())

    def _observed(self, view: View) -> Observed:
        demo = self.demo
        found: dict[tuple[str, str], float] = {("", WARNINGS): demo.logs.leaks}
        for target in TARGETS:
            pool = view.pools.get(demo.key(target)) or PoolView()
            calls = view.calls.get(demo.calls_key(target)) or CallsView()
            found |= {(target, name): of(pool, calls) for name, of in MEASURES.items()}
        return found
