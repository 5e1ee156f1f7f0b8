"""Draws plans. Whatever a healthy service does is drawn for every cause."""

from __future__ import annotations

import random
from dataclasses import replace

from . import inside, outside
from .causes import Cause, cause_of
from .plan import ANTHROPIC, OPENAI, Answering, Fault, Plan, Setting, Traffic

_HTTP2_CAUSES = frozenset(
    {Cause.HEALTHY, Cause.SLOW_PROVIDER, Cause.BLOCKED_LOOP, Cause.SLOW_CONSUMER}
)
_SYNC_CAUSES = frozenset({Cause.HEALTHY, Cause.TOO_SMALL, Cause.SLOW_PROVIDER, Cause.REFUSED})
"""A slow consumer is none there: any-llm reads each stream ahead, to its end."""


def draw(seed: int, index: int) -> Plan:
    """The plan of a run: the same for the same seed and index."""
    cause = cause_of(seed, index)
    rng = random.Random(f"{seed}/{index}")
    setting = _setting(rng, cause)
    setting, fault = _FAULTS[cause](rng, setting)
    return Plan(
        seed=seed,
        index=index,
        cause=cause,
        setting=setting,
        fault=fault,
        warm_up=rng.uniform(2.2, 3.2),
        period=fault.period + rng.uniform(0.0, 0.7),
    )


def _setting(rng: random.Random, cause: Cause) -> Setting:
    """A healthy one, whatever the cause."""
    sync = cause in _SYNC_CAUSES and rng.random() < 0.15
    http2 = cause is Cause.HTTP2_STUCK
    http2 |= cause in _HTTP2_CAUSES and not sync and rng.random() < 0.15
    answering = Answering(
        head_delay=rng.uniform(0.05, 0.3),
        jitter=rng.choice([0.0, 0.02, 0.1]),
        tokens=rng.choice([(2, 6), (5, 20), (1, 30)]),
        token_rate=rng.uniform(50, 300),
        error_share=rng.choice([0.0, 0.0, 0.02, 0.1]),
        reasoning=(rng.uniform(0.8, 1.2), rng.uniform(1.2, 2.5)),
    )
    clients = rng.choice([1, 1, 1, 2, 4]) if cause is Cause.HEALTHY else 1
    traffic = _traffic(rng, answering, clients, sync=sync)
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
        answering=answering,
        traffic=traffic,
    )


def _traffic(
    rng: random.Random, answering: Answering, clients: int, *, sync: bool
) -> tuple[Traffic, ...]:
    """Callers who leave connections free. There is always one kind that goes on all the time."""
    streams = rng.choice([0.0, 0.5, 1.0])
    prompt = rng.choice([(20, 400), (20, 400), (2_000, 40_000)])
    main = Traffic(
        shape="steady",
        callers=rng.randint(3, 6),
        pause=(0.02, rng.uniform(0.1, 0.4)),
        streams=streams,
        prompt=prompt,
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
        work = 0.1 * answering.usual / answering.tokens[1]
        found[0] = replace(main, work=(0.0, work))
    return tuple(found)


# The faults, each with the setting in which it can happen


def _healthy(rng: random.Random, setting: Setting) -> tuple[Setting, Fault]:
    kinds: list[Fault] = [
        inside.Nothing(),
        outside.Mood(factor=rng.uniform(0.7, 1.4)),
        outside.ErrorSpell(share=rng.uniform(0.1, 0.4), lasts=rng.uniform(0.5, 1.5)),
        inside.OneBurst(callers=rng.randint(5, 12), after=rng.uniform(0.2, 2.0)),
        inside.Lull(after=rng.uniform(0.2, 1.0), lasts=rng.uniform(1.0, 2.0)),
        inside.MoreOfTheSame(callers=rng.randint(1, 2)),
    ]
    fault = rng.choice(kinds)
    if isinstance(fault, inside.OneBurst | inside.MoreOfTheSame) and setting.connections:
        room = sum(part.callers for part in setting.traffic) + fault.callers
        setting = replace(setting, connections=max(setting.connections, room))
    return setting, fault


def _too_small(rng: random.Random, setting: Setting) -> tuple[Setting, Fault]:
    # Few callers and connections: what the machine can carry is not what is looked for.
    base = replace(setting.traffic[0], callers=rng.randint(1, 2), pause=(0.1, 0.5))
    connections = rng.randint(2, 5)
    answering = replace(setting.answering, head_delay=rng.uniform(0.12, 0.4))
    setting = replace(
        setting,
        traffic=(base,),
        connections=connections,
        answering=answering,
        pool_timeout=rng.choice([1.0, 5.0, 60.0, 600.0]),
    )
    if setting.sync or rng.random() < 0.6:
        callers = round(connections * rng.uniform(2.0, 5.0)) + 1
        return setting, inside.Crowd(callers=callers, pause=(0.0, rng.uniform(0.01, 0.2)))
    rate = rng.uniform(1.5, 2.5) * connections / answering.usual
    return setting, inside.Rush(rate=rate)


def _slow_provider(rng: random.Random, setting: Setting) -> tuple[Setting, Fault]:
    answering = setting.answering
    kind = rng.choice(["slower", "slower", "tokens", "crowded", "silent"])
    if kind == "silent":
        # No reasoning among them: with so short a read timeout that would not work at all.
        main = replace(setting.traffic[0], callers=rng.randint(5, 8))
        read_timeout = rng.choice([1.2, 1.5, 600.0])
        setting = replace(setting, traffic=(main,), read_timeout=read_timeout)
        return _with_room(setting), outside.Silence(share=rng.choice([0.6, 1.0]))
    if kind == "tokens":
        answering = replace(answering, tokens=(8, 20), token_rate=rng.uniform(60, 150))
        setting = replace(setting, answering=answering)
        longer = rng.uniform(2.5, 6.0) * answering.usual
        mean = sum(answering.tokens) / 2 / answering.token_rate
        return setting, outside.Slowness(factor=1.0, tokens=1 + longer / mean)
    factor = rng.uniform(3.5, 8.0)
    if kind == "crowded":
        # As many calls as before, which the pool can't carry any more once they take longer.
        rate = rng.uniform(8, 16)
        main = replace(setting.traffic[0], shape="arrivals", rate=rate, callers=1)
        connections = round(rate * answering.usual * 2) + 2
        setting = replace(setting, traffic=(main,), connections=connections, sync=False)
    return setting, outside.Slowness(factor=factor, tokens=factor)


def _with_room(setting: Setting) -> Setting:
    most = sum(part.callers for part in setting.traffic)
    connections = setting.connections and max(setting.connections, most + 2)
    return replace(setting, connections=connections)


def _leak(rng: random.Random, setting: Setting) -> tuple[Setting, Fault]:
    setting = _with_room(setting)
    most = setting.connections or 6
    count = rng.choice([1, 2, rng.randint(1, most), most])
    if setting.connections is None or setting.connections > 20:
        count = min(count, 6)
    never = setting.provider == OPENAI and rng.random() < 0.5
    return setting, inside.Abandonment(streams=count, never_read=never)


def _slow_consumer(rng: random.Random, setting: Setting) -> tuple[Setting, Fault]:
    tokens = (6, rng.randint(8, 20))
    pause = rng.uniform(0.5, 1.8) / tokens[1]
    answering = replace(setting.answering, tokens=tokens, token_rate=rng.uniform(100, 300))
    # Nobody gives up: who does so between two chunks leaves a leak behind, and that is another
    # cause.
    traffic = tuple(
        replace(part, streams=1.0)
        for part in setting.traffic
        if part.model != "reasoning" and part.shape != "cancelling"
    )
    setting = replace(setting, answering=answering, traffic=traffic)
    return setting, inside.SlowReading(work=(0.7 * pause, 1.6 * pause))


def _churn(rng: random.Random, setting: Setting) -> tuple[Setting, Fault]:
    fault = inside.ThrowAway(
        way=rng.choice(["function", "instance", "closed instance"]),
        callers=rng.randint(2, 4),
        calls=rng.choice([1, 1, 2]),
        pause=(0.05, rng.uniform(0.1, 0.3)),
    )
    return setting, fault


def _refused(rng: random.Random, setting: Setting) -> tuple[Setting, Fault]:
    # Short enough for some to run out in time, where nobody answers.
    setting = replace(setting, connect_timeout=rng.uniform(0.8, 1.5))
    return setting, rng.choice(
        [
            outside.Down(),
            outside.Flapping(up=rng.uniform(0.2, 0.5), down=rng.uniform(0.3, 0.6)),
            outside.WrongAddress(callers=rng.randint(1, 3), answers=rng.random() < 0.7),
        ]
    )


def _reuse_failures(rng: random.Random, setting: Setting) -> tuple[Setting, Fault]:
    kinds: list[Fault] = [
        outside.Dropping(share=rng.uniform(0.15, 1.0)),
        outside.Resets(every=rng.uniform(0.5, 0.9)),
    ]
    fault = rng.choice(kinds)
    if isinstance(fault, outside.Resets):
        # Long heads, so that each reset meets requests that wait for one.
        setting = replace(
            setting, answering=replace(setting.answering, head_delay=rng.uniform(0.2, 0.4))
        )
    return setting, fault


def _blocked_loop(rng: random.Random, setting: Setting) -> tuple[Setting, Fault]:
    return setting, inside.Block(
        lasts=(0.35, rng.uniform(0.4, 1.0)),
        free=(0.2, rng.uniform(0.3, 0.9)),
        computes=rng.random() < 0.3,
    )


def _http2_stuck(rng: random.Random, setting: Setting) -> tuple[Setting, Fault]:
    if rng.random() < 0.7:
        most = sum(part.callers for part in setting.traffic) + 4
        streams = rng.choice([most, 32, 100])
        count = rng.randint(max(2, streams // 5), streams)
        return replace(setting, max_streams=streams), outside.Orphans(streams=count)
    streams = rng.randint(8, 16)
    setting = replace(setting, max_streams=streams, read_timeout=600.0, connections=1)
    return setting, outside.HungStreams(streams=streams)


_FAULTS = {
    Cause.HEALTHY: _healthy,
    Cause.TOO_SMALL: _too_small,
    Cause.SLOW_PROVIDER: _slow_provider,
    Cause.LEAK: _leak,
    Cause.SLOW_CONSUMER: _slow_consumer,
    Cause.CHURN: _churn,
    Cause.REFUSED: _refused,
    Cause.REUSE_FAILURES: _reuse_failures,
    Cause.BLOCKED_LOOP: _blocked_loop,
    Cause.HTTP2_STUCK: _http2_stuck,
}
