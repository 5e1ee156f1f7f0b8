"""Findings on snapshots with odd values, and on healthy hours, both at random."""

import dataclasses
import json
import math
import random
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from gluellm_diagnosis.diagnose import diagnose
from gluellm_diagnosis.findings import findings_text
from gluellm_diagnosis.replay import recording_of
from gluellm_diagnosis.what_if import what_if
from opentelemetry.instrumentation.gluellm.pool.durations import class_of, longest_of
from unit.gluellm_diagnosis.building import (
    a_connection,
    a_pool,
    a_request,
    a_snapshot,
    an_account,
    by_callers,
    kinds,
    leases,
    of_calls,
    the_calls,
    the_totals,
)
from unit.gluellm_diagnosis.test_account import taken
from unit.gluellm_diagnosis.test_diagnose import in_trouble

ODD_NUMBERS = (0, -1, 1, 3, 10**9, -0.5, 0.1, 1e308, math.inf, -math.inf, math.nan)
ODD_TEXTS = ("", "x\n\x1b[31m", "queued", "unread", "stream_queued", "active", "2", "\ud800", "{}")
OURS = ("taken_at", "leases")
"""Fields whose format only this package writes: they keep their values."""


def scrambled(value: Any, chance: random.Random) -> Any:
    """A copy of a value with odd numbers and texts in some places."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in dataclasses.fields(value) if field.name not in OURS]
        return replace(value, **{name: scrambled(getattr(value, name), chance) for name in names})
    if isinstance(value, tuple):
        return tuple(scrambled(v, chance) for v in value for _ in range(chance.choice((0, 1, 2))))
    if isinstance(value, dict):
        return {k: scrambled(v, chance) for k, v in value.items() if chance.random() > 0.2}
    if chance.random() < 0.7 or isinstance(value, bool):
        return value
    odd = {float: ODD_NUMBERS, int: (0, -1, 1, 3, 20, 10**9), str: ODD_TEXTS}
    return chance.choice(odd.get(type(value), (value,)))  # type: ignore[arg-type]


RICH_POOL = a_pool(
    [
        a_request("unread", 80.0, leak_suspected=True, call_site="a.py:1 in f"),
        a_request("stream_queued", 9.0),
        a_request("queued", 9.0, pool_timeout=3.0),
    ],
    [
        a_connection("active", protocol="2", streams_active=4, streams_max=9),
        a_connection("idle", protocol="2", streams_orphaned=4),
    ],
    tcp_keepalive=False,
)
RICH_TOTALS = the_totals(
    300,
    {"queued": 1.0},
    errors={"pool_timeout": 3, "connect_timeout": 30, "read_timeout": 30},
    origin={"pools": 90, "reuse_failures": 40, "longest_silence_failed": 300.0},
    anomalies={"orphaned_connection": 3},
    leaks=3,
    peak_active=10,
)


@pytest.mark.parametrize("seed", range(6))
def test_unexpected_values_in_a_snapshot_raise_nothing(seed: int) -> None:
    """Findings, their text and the snapshot's text can still be made."""
    slow = of_calls(40, {"backoff": 9.0}, {"429": 30}, 3, 60, 9.0, connecting=4.0, reading=1.0)
    account = an_account(*[of_calls(60)] * 12, *[slow] * 5)["account"]
    rich = replace(
        in_trouble(ignored_variables=("A",), calls=(the_calls(ages={9.0: 5}, silent=3),)),
        pools=(RICH_POOL,),
        totals=(RICH_TOTALS,),
        account=account,
        uptime=1020.0,
    )
    earlier = a_snapshot(**an_account(*[of_calls(60)] * 12))
    chance = random.Random(seed)
    for _ in range(50):
        snapshot, previous = scrambled(rich, chance), scrambled(earlier, chance)
        for before in (None, previous):
            findings = diagnose(snapshot, before)
            json.dumps([finding.to_dict() for finding in findings])
            assert "\x1b" not in findings_text(findings)
        assert "\x1b" not in str(snapshot)


@pytest.mark.parametrize("seed", range(3))
def test_unexpected_values_in_a_pool_can_be_replayed(seed: int) -> None:
    """Requests in flight and limits have any numbers; those of the ring are valid."""
    ring = leases(by_callers(20, 10, 0.8, 100), now=20.0)
    running = [a_request(held=0.5), a_request("queued", 3.0)] * 3
    rich = a_pool(running, [a_connection()] * 4, leases=ring)
    chance = random.Random(seed)
    for _ in range(50):
        snapshot = a_snapshot((), scrambled(rich, chance), local_ports=28232)
        for traffic in (1, 2):
            for one in what_if(snapshot, traffic=traffic):
                assert "\x1b" not in str(one)
        recording = recording_of(snapshot.pools)
        if not isinstance(recording, str):
            recording.needed()
        diagnose(snapshot)


@pytest.mark.parametrize("seed", range(6))
def test_no_false_alarm_in_healthy_hours(seed: int) -> None:
    """Short, long and very long calls at random, bursts, pauses, 1 % errors: judged each minute."""
    chance = random.Random(seed)
    rate = chance.choice((1, 5, 60, 300))
    minutes = []
    for _ in range(120):
        burst = chance.choice((0.0, 1.0, 1.0, 1.0, 3.0))
        number = sum(chance.random() < rate * burst / 1000 for _ in range(1000))
        durations = chance.choices((0.7, 1.5, 4.0, 90.0, 400.0), (40, 30, 20, 2, 1), k=number)
        took = Counter(longest_of(class_of(round(one * 1e9))) for one in durations)
        failed = sum(chance.random() < 0.01 for _ in durations)
        minute = of_calls(number, {}, {"500": failed} if failed else None)
        calls = minute["calls", "any_llm", "openai"]
        del calls["took", 2.0]
        calls |= {("took", bound): count for bound, count in took.items()}
        calls["stage", "requesting"] = sum(durations)
        minutes.append(minute)
        assert not kinds(taken(*minutes[-60:])), (rate, len(minutes))
