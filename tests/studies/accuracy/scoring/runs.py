"""Draws runs, and plays them: the load, two snapshots, and what `diagnose` makes of them."""

from __future__ import annotations

import asyncio
import gc
import logging
import multiprocessing
import random
import sys
import traceback
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from gluellm_pools.demo.faults import Fault
from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor, diagnose, snapshot
from opentelemetry.instrumentation.gluellm.diagnosis.findings import Kind, Severity
from support.installation import instrument
from support.telemetry import Telemetry

from ..catalogue import INCIDENTS, SCORED, Incident
from ..stage import ANTHROPIC, OPENAI, Answers, Setting, Stage, Traffic, prepare

HEALTHY, NONE = "healthy", "no verdict"
"""Where nothing is named, and where the run itself came to no end."""
STARVED = 0.1
"""Seconds without a processor from which a run says nothing: what `diagnose` sees then is real, a
late event loop, and not what was hidden."""
_TRIES = 3
_OVERTIME = 20.0
"""Seconds after which a run that does not end is given up."""
_LONGEST = 180.0
"""Seconds without any result, after which the processes are given up."""


_HTTP2 = (None, Kind.SLOW_PROVIDER, Kind.BLOCKED_EVENT_LOOP, Kind.SLOW_CONSUMER)
_SYNC = (None, Kind.POOL_TOO_SMALL, Kind.SLOW_PROVIDER, Kind.CONNECT_FAILURES)
"""A slow consumer is none there: any-llm reads each stream ahead, to its end."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run."""

    name: str
    incident: str
    setting: Setting
    fault: Fault
    warm_up: float
    period: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What came of a run."""

    index: int
    incident: str
    verdict: str
    run: str = ""
    seen: str = ""
    """Both snapshots and the findings, or what kept the run from its end."""
    starved: float = 0.0
    """Seconds, as far as that is known."""
    tries: int = 1

    @property
    def hidden(self) -> str:
        """The verdict that would be right."""
        return INCIDENTS[self.incident].kind or HEALTHY

    @property
    def right(self) -> bool:
        return self.verdict == self.hidden

    def __str__(self) -> str:
        starved = f"{self.starved:.2f} s without a processor, try {self.tries}"
        return f"{self.incident}, verdict {self.verdict} ({starved})\n{self.run}\n{self.seen}"


def score(seed: int, indices: Iterable[int], workers: int) -> Iterator[Result]:
    """Play these runs in processes of their own, and give the results as they come.

    Raises multiprocessing.TimeoutError where they hang.
    """
    todo = [(seed, index) for index in indices]
    with multiprocessing.get_context("spawn").Pool(min(workers, len(todo)), _begin) as pool:
        results = pool.imap_unordered(_play_fairly, todo)
        for _ in todo:
            yield results.next(_LONGEST)


def _begin() -> None:
    # Or warnings go to the terminal, and what asyncio's own finalizers raise (CPython 3.13 does for
    # the transports of a closed server).
    logging.getLogger().addHandler(logging.NullHandler())
    sys.unraisablehook = lambda _: None
    prepare()


def _play_fairly(told: tuple[int, int]) -> Result:
    """Again, whatever the verdict, where the machine kept the run from the processor."""
    for tries in range(1, _TRIES + 1):
        result = replace(play(*told), tries=tries)
        if result.starved < STARVED:
            break
    return result


def play(seed: int, index: int) -> Result:
    """Play a run in this process."""
    run = draw(seed, index)
    random.seed(f"{run.name}/provider")  # the fake provider's own jitter
    telemetry = Telemetry()
    # Peaks of longer than a run, so that nothing of it is forgotten; each is instrumented anew.
    instrument(telemetry, scope="any_llm", leak_threshold=2, peak_window=30.0)
    result = Result(index=index, incident=run.incident, verdict=NONE, run=repr(run))
    try:
        before, after, starved = asyncio.run(_play(run))
    except Exception:  # a fault that could not be played, or had no end
        return replace(result, seen=traceback.format_exc())
    finally:
        GlueLLMInstrumentor().uninstrument()
        telemetry.shutdown()
        gc.collect()
    findings = diagnose(after, before)
    named = [finding.kind for finding in findings if finding.severity is not Severity.INFO]
    return replace(
        result,
        verdict=named[0] if named else HEALTHY,  # the first that is more than worth knowing
        seen="\n".join(map(str, (before, after, *findings))),
        starved=0.0 if result.hidden == Kind.BLOCKED_EVENT_LOOP else starved,
    )


async def _play(run: Run) -> tuple[Any, Any, float]:
    stage = Stage(run.setting, run.name)
    with stage.thread:
        async with asyncio.timeout(run.warm_up + run.period + _OVERTIME):
            stage.begin()
            try:
                await asyncio.sleep(run.warm_up)
                before = snapshot()
                stage.go_wrong(run.fault)
                await asyncio.sleep(run.period)
                return before, snapshot(), stage.starved
            finally:
                await stage.end()


# What is drawn


def incident_of(seed: int, index: int) -> Incident:
    """Of a run: each block of runs has all that there are, in an order of its own."""
    block = list(SCORED)
    random.Random(f"{seed}/block {index // len(block)}").shuffle(block)
    return SCORED[block[index % len(block)]]


def draw(seed: int, index: int) -> Run:
    """A run: the same for the same seed and index."""
    incident = incident_of(seed, index)
    assert incident.draw is not None
    rng = random.Random(f"{seed}/{index}")
    setting, fault = incident.draw(rng, _setting(rng, incident.kind))
    return Run(
        name=f"{seed}/{index}",
        incident=incident.name,
        setting=setting,
        fault=fault,
        warm_up=rng.uniform(2.2, 3.2),
        period=incident.period + rng.uniform(0.0, 0.7),
    )


def _setting(rng: random.Random, kind: Kind | None) -> Setting:
    """A healthy one, whatever is to go wrong."""
    sync = kind in _SYNC and rng.random() < 0.15
    http2 = kind is Kind.HTTP2_STUCK or (kind in _HTTP2 and not sync and rng.random() < 0.15)
    answers = Answers(
        head_delay=rng.uniform(0.05, 0.3),
        jitter=rng.choice([0.0, 0.02, 0.1]),
        tokens=rng.choice([(2, 6), (5, 20), (1, 30)]),
        token_rate=rng.uniform(50, 300),
        error_share=rng.choice([0.0, 0.0, 0.02, 0.1]),
        reasoning=(rng.uniform(0.8, 1.2), rng.uniform(1.2, 2.5)),
    )
    clients = rng.choice([1, 1, 1, 2, 4]) if kind is None else 1
    traffic = _traffic(rng, answers, clients, sync=sync)
    most = sum(part.callers for part in traffic)
    return Setting(
        provider=rng.choice([OPENAI, ANTHROPIC]),
        sync=sync,
        http2=http2,
        max_streams=rng.choice([100, 128, 250]),
        clients=clients,
        connections=rng.choice([None, most + 2, 2 * most, 50]),
        keepalive_expiry=rng.choice([0.5, 5.0, 5.0, 60.0]),
        pool_timeout=rng.choice([5.0, 60.0, 600.0]),
        retries=0 if sync else rng.choice([0, 2]),
        answers=answers,
        traffic=traffic,
    )


def _traffic(
    rng: random.Random, answers: Answers, clients: int, *, sync: bool
) -> tuple[Traffic, ...]:
    """Callers who leave connections free. There is always one kind that goes on all the time."""
    main = Traffic(
        callers=rng.randint(3, 6),
        pause=(0.02, rng.uniform(0.1, 0.4)),
        streams=rng.choice([0.0, 0.5, 1.0]),
        prompt=rng.choice([(4, 80), (4, 80), (400, 8_000)]),
    )
    found = [main]
    found += [replace(main, callers=rng.randint(1, 2), client=other) for other in range(1, clients)]
    if rng.random() < 0.3:
        callers = rng.randint(3, 8)
        found.append(replace(main, shape="bursts", callers=callers, pause=(0.6, 1.4)))
    if rng.random() < 0.3:
        found.append(replace(main, callers=rng.randint(1, 3), model="reasoning"))
    if rng.random() < 0.3:
        found.append(replace(main, callers=1, pause=(0.9, 1.8)))
    if rng.random() < 0.25 and not sync:
        found.append(replace(main, shape="cancelling", callers=1, pause=(0.3, 0.8)))
    if rng.random() < 0.3:
        # Less than what the answers' own time allows for: a reader that keeps up.
        found[0] = replace(main, work=(0.0, 0.1 * answers.usual / answers.tokens[1]))
    return tuple(found)
