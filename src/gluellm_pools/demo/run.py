"""Plays the story: providers, load, instrumentation and the view, started and stopped in order."""

from __future__ import annotations

import asyncio
import gc
import importlib.util
import logging
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

from rich.console import Console

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor, Snapshot, snapshot
from opentelemetry.instrumentation.gluellm.diagnosis.diagnose import diagnose
from opentelemetry.instrumentation.gluellm.diagnosis.findings import Finding, Severity
from opentelemetry.instrumentation.gluellm.telemetry import semconv

from ..fake_provider import FakeProvider, FakeProviderThread
from ..render import counts_text, pool_label
from ..screens import Terminal, print_line, redraws
from ..text import printable
from ..view import PoolKey, PoolView, View
from .acts import Act
from .closing import Row, closing_table, disagreements
from .evidence import Seen
from .load import Load, prepare_environment
from .notes import Notes, PoolLog
from .planning import left_out, plan
from .screen import LiveScreen, PlainScreen, Screen
from .targets import GLUELLM, HTTP2, MAX_STREAMS, POOL_NAMES, QUICK, TARGETS
from .telemetry import Telemetry

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics.export import MetricReader

EXIT_OK, EXIT_DISAGREE, EXIT_INTERRUPTED = 0, 1, 130
_SETTLE = 0.05
"""Seconds in which the last steps of requests that are over come to their end."""
_LONGEST_NOTE = 200
_LONGEST_EXPLANATION = 2000
_LEAK_THRESHOLD = 2.0
"""Seconds: the least that is allowed."""
_TICK = 0.25
"""Seconds between two looks at what was logged."""
_LATE = 2.0
"""Seconds beyond its time that something to be logged is waited for."""


def run(
    scenario: str | None, seconds: float, port: int, readers: Sequence[MetricReader] = ()
) -> int:
    """Play, print, and return the exit status. ``readers`` read the metrics as well.

    Raises PortInUseError.
    """
    console = Terminal()
    notes, log = Notes(), PoolLog()
    logging.basicConfig(handlers=[notes], level=logging.WARNING, force=True)
    with_gluellm = importlib.util.find_spec("gluellm") is not None
    with ExitStack() as stack:
        threads = {
            target: FakeProviderThread(
                port=port and port + number,
                behaviour=QUICK,
                http2=target == HTTP2,
                max_streams=MAX_STREAMS,
            )
            for number, target in enumerate(TARGETS)
            if target != GLUELLM or with_gluellm
        }
        providers = {name: stack.enter_context(thread) for name, thread in threads.items()}
        prepare_environment(providers[GLUELLM].openai_url if with_gluellm else None)
        telemetry = Telemetry(readers)
        instrumentor = GlueLLMInstrumentor()
        instrumentor.instrument(
            meter_provider=telemetry.meter_provider,
            tracer_provider=telemetry.tracer_provider,
            leak_threshold=_LEAK_THRESHOLD,
            peak_window=telemetry.peak_window,
        )
        acts = plan(scenario, seconds)
        log.attach()
        try:
            demo = Demo(console, telemetry, log, threads, providers, with_gluellm)
            if scenario is None and left_out(acts):
                console.print(left_out(acts), style="yellow", soft_wrap=not console.is_terminal)
            status = asyncio.run(demo.play(acts))
        finally:
            instrumentor.uninstrument()
            log.detach()
            telemetry.shutdown()
    for line in notes.lines():
        console.print(
            f"logged meanwhile: {printable(line, _LONGEST_NOTE)}",
            style="dim",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
    return status


class Demo:
    def __init__(
        self,
        console: Console,
        telemetry: Telemetry,
        log: PoolLog,
        threads: dict[str, FakeProviderThread],
        providers: dict[str, FakeProvider],
        with_gluellm: bool,
    ) -> None:
        self._console = console
        self._telemetry = telemetry
        self._log = log
        self._threads = threads
        self._providers = providers
        self._with_gluellm = with_gluellm
        self._keys: dict[str, PoolKey] = {}

    async def play(self, acts: list[tuple[Act, float]]) -> int:
        load = Load(self._providers, gluellm=self._with_gluellm)
        self._keys = {t: PoolKey(POOL_NAMES[t], library) for t, library in load.libraries.items()}
        interrupted = False
        self._announce()
        try:
            await load.warm_up()
            for number, (act, duration) in enumerate(acts, 1):
                await self._play_act(load, act, duration, f"act {number} of {len(acts)}")
        except asyncio.CancelledError:
            interrupted = True  # Ctrl-C: asyncio.run cancels the main task
            await load.clear()
        await asyncio.sleep(_SETTLE)
        rows = self._rows(load)
        await load.close()
        return self._close(rows, interrupted)

    def _announce(self) -> None:
        say = self._console.print
        say("Real any-llm calls against a fake provider on loopback, seen through their pools.")
        if self._with_gluellm:
            say(f"GlueLLM's pool goes by its any-llm provider: {pool_label(self._keys[GLUELLM])}.")
        else:
            say("GlueLLM is not installed: its pool is left out.")
        if self._telemetry.endpoint:
            say(f"Exporting to {printable(self._telemetry.endpoint, 80)} over OTLP/HTTP.")

    async def _play_act(self, load: Load, act: Act, duration: float, where: str) -> None:
        await self._set_scene(act)
        self._log.begin()
        before, began, began_at = self._telemetry.read(), snapshot(), time.monotonic()
        screen = self._screen(act, where, duration)
        traffic = asyncio.create_task(load.play(act, duration - act.clearing))
        ends = asyncio.create_task(asyncio.sleep(duration - act.clearing))
        try:
            with screen:
                await self._watch(screen, before, began_at, load, traffic, ends)
                await traffic
                await asyncio.sleep(_SETTLE)
                totals, ended = self._telemetry.read(), snapshot()
                act_view = totals.since(before, time.monotonic() - began_at)
                screen.show(act_view)
                self._tell_log(load)
        finally:
            await _cancel(traffic, ends)
        evidence = act.evidence(self._seen(act_view))
        if evidence.held:
            self._say(f"seen: {evidence.text}", "green")
        else:
            self._say(f"NOT SEEN: {evidence.text}", "bold red")
        self._tell_finding(began, ended)
        await load.clear()
        if act.clearing:
            await self._log.until(logging.INFO, act.clearing + _LATE)
            self._tell_log(load)
        if act.discards:
            gc.collect()
            live = {
                pool_label(key): pool.live for key, pool in self._telemetry.read().pools.items()
            }
            self._say(f"live pools after a garbage collection: {counts_text(live)}", "green")

    async def _watch(
        self,
        screen: Screen,
        before: View,
        began_at: float,
        load: Load,
        *tasks: asyncio.Task[None],
    ) -> None:
        """Show the act until both its traffic and its time have ended."""
        clock = asyncio.get_running_loop().time
        due = clock() + screen.interval
        while True:
            _, pending = await asyncio.wait(tasks, timeout=min(_TICK, max(due - clock(), 0)))
            if not pending:
                return
            self._tell_log(load)
            if clock() >= due:
                due = clock() + screen.interval
                view = self._telemetry.read()
                screen.show(view.since(before, time.monotonic() - began_at))

    def _tell_log(self, load: Load) -> None:
        """What was logged since the last time, and a pool timeout that explains itself."""
        if load.explained and not load.told:
            load.told = True
            self._say(f"caught: {load.explained[0]}", "magenta")
            for note in load.explained[1:]:
                self._say(f"  its note: {printable(note, _LONGEST_EXPLANATION)}", "magenta")
        lines = self._log.take()
        quiet = [text for level, text in lines if level == logging.INFO]
        for level, text in lines:
            if level > logging.INFO:
                self._say(f"logged: {logging.getLevelName(level)} {text}", "yellow")
        if quiet:
            self._say(f"logged: INFO {quiet[0]}", "cyan")
        if quiet[1:]:
            self._say(f"logged: INFO, {len(quiet) - 1} more like it", "cyan")

    def _tell_finding(self, began: Snapshot, ended: Snapshot) -> None:
        """The first cause that `diagnose` finds in the act."""
        finding = _first(diagnose(ended, began))
        if finding is not None:
            kind = finding.kind.replace("_", " ")
            pool = f" in {finding.pool}" if finding.pool else ""
            seen = printable(finding.observed, _LONGEST_EXPLANATION)
            self._say(f"finding: {finding.severity.upper()}: {kind}{pool}. {seen}", "bold")
            self._say(f"   cure: {printable(finding.advice, _LONGEST_EXPLANATION)}", "bold")

    def _say(self, line: str, style: str) -> None:
        print_line(self._console, line, style)

    async def _set_scene(self, act: Act) -> None:
        """Make the providers behave as the act says. No request is under way here."""
        for target, thread in self._threads.items():
            provider = self._providers[target]
            provider.behaviour = act.behaviours.get(target, QUICK)
            if target in act.refusing:
                await thread.call(provider.refuse())
                await thread.call(provider.drop())
            else:
                await thread.call(provider.listen())
        await asyncio.sleep(_SETTLE)

    def _screen(self, act: Act, where: str, duration: float) -> Screen:
        kind = LiveScreen if redraws(self._console) else PlainScreen
        return kind(self._console, act.name, act.line, where, duration)

    def _seen(self, view: View) -> Seen:
        return Seen(self._by_target(view), view.late_share)

    def _by_target(self, view: View) -> dict[str, PoolView]:
        return {t: view.pools[key] for t, key in self._keys.items() if key in view.pools}

    def _rows(self, load: Load) -> list[Row]:
        gc.collect()
        pools = self._by_target(self._telemetry.read())
        rows = []
        for target, key in self._keys.items():
            pool = pools.get(target, PoolView())
            label = pool_label(key)
            if target == GLUELLM:
                label += " GlueLLM"
            tally, counts = load.tallies[target], self._providers[target].counts
            if not (pool.requests or tally.sent or counts.requests):
                continue
            # Over HTTP/2 these are the refusals of the library's own state, and nothing else.
            refused = pool.errors.get(semconv.ErrorType.PROTOCOL_ERROR, 0) * (target == HTTP2)
            rows.append(Row(label, pool, tally, counts, refused))
        return rows

    def _close(self, rows: list[Row], interrupted: bool) -> int:
        say = self._console.print
        say()
        say(closing_table(rows, min(self._console.width, 120)))
        say(
            "Waits are estimates: interpolated inside the histogram's buckets, and no longer "
            "than the longest recorded.",
            style="dim",
        )
        if interrupted:
            say("Interrupted. What was under way is cancelled, and may never have arrived.")
            return EXIT_INTERRUPTED
        wrong = disagreements(rows)
        for line in wrong:
            print(line, file=sys.stderr)
        if wrong:
            return EXIT_DISAGREE
        say("Metrics, callers and providers agree.", style="green")
        return EXIT_OK


def _first(findings: Sequence[Finding]) -> Finding | None:
    return next((f for f in findings if f.severity is not Severity.INFO), None)


async def _cancel(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
