"""Plays the story: providers, load, instrumentation and the view, started and stopped in order."""

from __future__ import annotations

import asyncio
import gc
import importlib.util
import logging
import sys
from contextlib import ExitStack

from rich.console import Console

from ... import GlueLLMInstrumentor
from ..fake_provider import FakeProvider, FakeProviderThread
from ..render import counts_text, pool_label
from ..text import printable
from ..view import PoolKey, PoolView, View
from .acts import ANTHROPIC, GLUELLM, OPENAI, QUICK, SCENARIOS, STORY, TARGETS, Act
from .closing import Row, closing_table, disagreements
from .load import Load, prepare_environment
from .notes import Notes
from .screen import LiveScreen, PlainScreen, Screen
from .telemetry import Telemetry

EXIT_OK, EXIT_DISAGREE, EXIT_INTERRUPTED = 0, 1, 130
_SETTLE = 0.05
"""Seconds in which the last steps of requests that are over come to their end."""
_LONGEST_NOTE = 200
_NAMES = {OPENAI: "openai", ANTHROPIC: "anthropic", GLUELLM: "openai"}
"""Names of the targets' pools: GlueLLM's gateway mode is the openai provider to any-llm."""


def plan(scenario: str | None, seconds: float) -> list[tuple[Act, float]]:
    """The acts with the seconds that each takes."""
    if scenario is None:
        return [(act, seconds / len(STORY)) for act in STORY]
    act = SCENARIOS[scenario]
    if act.after is None:
        return [(act, seconds)]
    return [(SCENARIOS[act.after], seconds / 2), (act, seconds / 2)]


def run(scenario: str | None, seconds: float, port: int) -> int:
    """Play, print, and return the exit status. Raises PortInUseError."""
    console = Console()
    notes = Notes()
    logging.basicConfig(handlers=[notes], level=logging.WARNING, force=True)
    with_gluellm = importlib.util.find_spec("gluellm") is not None
    with ExitStack() as stack:
        threads = {
            target: FakeProviderThread(port=port and port + number, behaviour=QUICK)
            for number, target in enumerate(TARGETS)
            if target != GLUELLM or with_gluellm
        }
        providers = {name: stack.enter_context(thread) for name, thread in threads.items()}
        prepare_environment(providers[GLUELLM].openai_url if with_gluellm else None)
        telemetry = Telemetry()
        instrumentor = GlueLLMInstrumentor()
        instrumentor.instrument(
            meter_provider=telemetry.meter_provider, tracer_provider=telemetry.tracer_provider
        )
        try:
            demo = Demo(console, telemetry, threads, providers, with_gluellm)
            status = asyncio.run(demo.play(plan(scenario, seconds)))
        finally:
            instrumentor.uninstrument()
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
        threads: dict[str, FakeProviderThread],
        providers: dict[str, FakeProvider],
        with_gluellm: bool,
    ) -> None:
        self._console = console
        self._telemetry = telemetry
        self._threads = threads
        self._providers = providers
        self._with_gluellm = with_gluellm
        self._keys: dict[str, PoolKey] = {}

    async def play(self, acts: list[tuple[Act, float]]) -> int:
        load = Load(self._providers, gluellm=self._with_gluellm)
        self._keys = {t: PoolKey(_NAMES[t], library) for t, library in load.libraries.items()}
        interrupted = False
        self._announce()
        try:
            for number, (act, duration) in enumerate(acts, 1):
                await self._play_act(load, act, duration, f"act {number} of {len(acts)}")
        except asyncio.CancelledError:
            interrupted = True  # Ctrl-C: asyncio.run cancels the main task
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
        before = self._telemetry.read()
        screen = self._screen(act, where, duration)
        traffic = asyncio.create_task(load.play(act, duration))
        ends = asyncio.create_task(asyncio.sleep(duration))
        try:
            with screen:
                while True:
                    _, pending = await asyncio.wait((traffic, ends), timeout=screen.interval)
                    if not pending:
                        break
                    screen.show(self._telemetry.read().since(before))
                await traffic
                await asyncio.sleep(_SETTLE)
                totals = self._telemetry.read()
                screen.show(totals.since(before))
        finally:
            await _cancel(traffic, ends)
        evidence = act.evidence(self._by_target(totals.since(before)))
        if evidence.held:
            self._say(f"seen: {evidence.text}", "green")
        else:
            self._say(f"NOT SEEN: {evidence.text}", "bold red")
        if act.discards:
            gc.collect()
            live = {
                pool_label(key): pool.live for key, pool in self._telemetry.read().pools.items()
            }
            self._say(f"live pools after a garbage collection: {counts_text(live)}", "green")

    def _say(self, line: str, style: str) -> None:
        soft = not self._console.is_terminal  # one line for whoever reads lines
        self._console.print(line, style=style, markup=False, highlight=False, soft_wrap=soft)

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
        live = self._console.is_terminal and not self._console.is_dumb_terminal
        kind = LiveScreen if live else PlainScreen
        return kind(self._console, act.name, act.line, where, duration)

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
            rows.append(Row(label, pool, load.tallies[target], self._providers[target].counts))
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


async def _cancel(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
