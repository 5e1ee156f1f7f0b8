"""Plays one plan in this process: the load, two snapshots, and what `diagnose` makes of them."""

from __future__ import annotations

import asyncio
import gc
import logging
import random
import sys
from dataclasses import dataclass

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor, Snapshot, diagnose, snapshot
from opentelemetry.instrumentation.gluellm.cli.fake_provider import FakeProviderThread
from support.installation import instrument
from support.telemetry import Telemetry

from . import clients
from .answers import Answers
from .causes import Cause
from .plan import ANTHROPIC, OPENAI, Answering, Plan, Setting
from .stage import Stage
from .verdicts import NONE, verdict

LEAK_THRESHOLD = 2
_PEAK_WINDOW = 30.0
"""Longer than a run, so that nothing of it is forgotten; each is instrumented anew."""
STARVED = 0.1
"""Seconds without a processor from which a run says nothing: what `diagnose` sees then is real, a
late event loop, and not what was hidden."""
_OVERTIME = 20.0
"""Seconds after which a run that does not end is given up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What came of a run."""

    index: int
    cause: Cause
    verdict: str
    plan: str
    findings: str = ""
    snapshots: tuple[str, str] = ("", "")
    starved: float = 0.0
    """Seconds, as far as that is known."""
    tries: int = 1

    @property
    def right(self) -> bool:
        return self.verdict == self.cause


def prepare() -> None:
    """Import and build once what a first call does: it takes a second, and blocks the loop."""
    # Or warnings go to the terminal, and what asyncio's own finalizers raise (CPython 3.13 does for
    # the transports of a closed server).
    logging.getLogger().addHandler(logging.NullHandler())
    sys.unraisablehook = lambda _: None
    answering = Answering(
        head_delay=0,
        jitter=0,
        tokens=(2, 2),
        token_rate=100,
        error_share=0,
        reasoning=(0, 0),
    )

    async def call() -> None:
        with FakeProviderThread() as provider:
            for name in (OPENAI, ANTHROPIC):
                setting = Setting(provider=name, answering=answering, traffic=(), connections=1)
                llm = clients.create(setting, provider)
                options = {"messages": clients.messages(9, random.Random(0)), "max_tokens": 9}
                for stream in (False, True):
                    await clients.ask(llm, {"model": "m", "stream": stream, **options}, lambda: 0)
                await llm.client.close()

    asyncio.run(call())


def play(plan: Plan) -> Result:
    """Play it."""
    random.seed(f"{plan.name}/provider")  # the fake provider's own jitter
    telemetry = Telemetry()
    instrument(telemetry, scope="any_llm", leak_threshold=LEAK_THRESHOLD, peak_window=_PEAK_WINDOW)
    answers = Answers(plan.setting.answering, plan.source("answers"))
    thread = FakeProviderThread(
        behaviour=answers, http2=plan.setting.http2, max_streams=plan.setting.max_streams
    )
    try:
        with thread:
            before, after, starved = asyncio.run(_play(plan, thread, answers))
    except TimeoutError:
        return Result(index=plan.index, cause=plan.cause, verdict=NONE, plan=repr(plan))
    finally:
        GlueLLMInstrumentor().uninstrument()
        telemetry.shutdown()
        gc.collect()
    findings = diagnose(after, before)
    return Result(
        index=plan.index,
        cause=plan.cause,
        verdict=verdict(findings),
        plan=repr(plan),
        findings="\n".join(map(str, findings)) or "no findings",
        snapshots=(str(before), str(after)),
        starved=0.0 if plan.cause is Cause.BLOCKED_LOOP else starved,
    )


async def _play(
    plan: Plan, thread: FakeProviderThread, answers: Answers
) -> tuple[Snapshot, Snapshot, float]:
    async with asyncio.timeout(plan.warm_up + plan.period + _OVERTIME):
        stage = Stage(plan, thread, answers)
        stage.begin()
        try:
            await asyncio.sleep(plan.warm_up)
            before = snapshot()
            await plan.fault.start(stage)
            await asyncio.sleep(plan.period)
            return before, snapshot(), stage.starved
        finally:
            await stage.end()
