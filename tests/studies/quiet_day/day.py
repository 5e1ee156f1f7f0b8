"""A day of a service in the metrics that the alerts read, minute by minute."""

from __future__ import annotations

import itertools
import math
import random
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from gluellm_dashboards import naming
from gluellm_pools.prometheus import metric_name
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from opentelemetry.instrumentation.gluellm.telemetry.semconv import Metric

from .simulation import ALWAYS_THERE, HOUR, MINUTE, Load, Pool

Samples = dict[int, float]
"""By minute."""


@dataclass(slots=True, kw_only=True)
class Day:
    """What happens, in seconds from midnight."""

    hours: int = 24
    instances: int = 3
    deploy_at: float = 9 * HOUR
    """One instance after the other is replaced, in three minutes each."""
    quiet: tuple[float, float] = (2 * HOUR, 4 * HOUR)
    """Nobody calls."""
    too_many: tuple[float, float] = (14 * HOUR, 14.3 * HOUR)
    """Two of five requests are answered with 429."""
    gap: tuple[float, float] = (16 * HOUR, 16 * HOUR + 3 * MINUTE)
    """The Collector starts again: nothing is stored."""
    leak_at: float = 11 * HOUR
    """One stream is left unread in a pool of 1 000."""
    slow: tuple[float, float] = (math.inf, math.inf)
    """The provider of the small pool hardly answers: an incident."""
    series: dict[str, Samples] = field(default_factory=dict)
    most_silent: float = 0.0
    """The oldest call that got its answer in the end."""

    def play(self) -> dict[str, Samples]:
        """The samples of every series. The same each time."""
        end = self.hours * HOUR
        for number in range(self.instances):
            replaced = min(self.deploy_at + number * 3 * MINUTE, end)
            self._process(f"api-old-{number}", 0.0, replaced)
            # The next one is there before the last one goes.
            if replaced < end:
                self._process(f"api-new-{number}", replaced - MINUTE, end)
        return self.series

    def _process(self, instance: str, start: float, end: float) -> None:
        seed = zlib.crc32(instance.encode())
        leaks = self.leak_at if instance == "api-new-1" else None
        # Long calls to a reasoning model, and short ones under a small limit.
        large = Pool(1000, 600.0, self._thinking(leaks), seed)
        small = Pool(50, 60.0, self._chatting(), seed + 1)
        chance = random.Random(seed + 2)
        pools = {"openai": large, "anthropic": small}
        late = 0.0
        for minutes in zip(large.run(start, end), small.run(start, end), strict=True):
            now = minutes[0]
            for name, pool in pools.items():
                if pool.used:
                    self._export_pool(instance, name, pool, now)
            # A pause of 0.4 s in each minute, and a garbage collection of 2 s now and then.
            lag = 2.0 if chance.random() < 0.01 else 0.4
            late += lag
            self._add(semconv.EVENT_LOOP_LAG_PEAK, lag, now, instance)
            self._add(semconv.EVENT_LOOP_LATE_TIME, late, now, instance)
            for library in ("any_llm", "httpx"):
                own = {semconv.HOOK_LIBRARY: library}
                self._add(semconv.HOOK_MISSING, 0, now, instance, own)
            self._store("target_info", now, 1, {"job": "api", "instance": instance})

    def _thinking(self, leaks_at: float | None) -> Load:
        def seconds(at_most: float) -> Callable[[float, random.Random], float]:
            # Every hundredth is silent for ten minutes.
            return lambda _, chance: 600.0 if chance.random() < 0.01 else chance.uniform(1, at_most)

        return Load(
            # With a third of it, two such calls among nine page where the last hour had none.
            rate=lambda now: 0.6 * self._traffic(now),
            waiting=seconds(60),
            reading=seconds(20),
            too_many=self._refused,
            leaks_at=leaks_at,
        )

    def _chatting(self) -> Load:
        def waiting(now: float, chance: random.Random) -> float:
            factor = 200 if self.slow[0] <= now < self.slow[1] else 1
            return factor * chance.lognormvariate(1, 0.5)

        return Load(
            rate=self._traffic,
            waiting=waiting,
            reading=lambda now, chance: chance.lognormvariate(2, 0.5),
            too_many=self._refused,
        )

    def _refused(self, now: float) -> float:
        return 0.4 if self.too_many[0] <= now < self.too_many[1] else 0.0

    def _traffic(self, now: float) -> float:
        """More by day than by night."""
        if self.quiet[0] <= now < self.quiet[1]:
            return 0.0
        return 0.6 + 0.4 * math.sin((now / HOUR - 8) / 24 * 2 * math.pi)

    def _export_pool(self, instance: str, name: str, pool: Pool, now: float) -> None:
        tally = pool.tally
        for phase in semconv.PHASES:
            ages = [now - call.since for call in pool.requests_in(phase)]
            if phase in ("awaiting_response", "reading"):
                self.most_silent = max([self.most_silent, *ages])
            own = {semconv.REQUEST_PHASE: phase}
            self._add(semconv.REQUEST_OLDEST_AGE, max(ages, default=0), now, instance, own, name)
        leaked = pool.leaked(now)
        for metric, value in (
            (semconv.CONNECTION_MAX, pool.limit),
            (semconv.POOL_LIVE, 1),
            (semconv.POOL_OPENED, 1),
            (semconv.ACQUIRE_TIMEOUT, pool.timeout),
            (semconv.LEAK_SUSPECTED, leaked),
            (semconv.LEAKS, tally.leaks),
            (semconv.REUSE_FAILURES, 0),
        ):
            self._add(metric, value, now, instance, {}, name)
        for anomaly in semconv.ANOMALY_TYPES:
            self._add(semconv.ANOMALIES, 0, now, instance, {semconv.ANOMALY_TYPE: anomaly}, name)
        for kind in semconv.TIMEOUT_KINDS:
            timeouts = tally.timeouts if kind == "pool" else 0
            self._add(semconv.TIMEOUTS, timeouts, now, instance, {semconv.TIMEOUT_KIND: kind}, name)
        for error in ALWAYS_THERE:
            self._add(semconv.REQUESTS, 0, now, instance, {semconv.ERROR_TYPE: error}, name)
        for (status, error, again), count in tally.requests.items():
            own = {
                **({semconv.STATUS_CODE: status} if status else {}),
                **({semconv.ERROR_TYPE: error} if error else {}),
                **({semconv.REQUEST_RESEND: "true"} if again else {}),
            }
            self._add(semconv.REQUESTS, count, now, instance, own, name)
        self._export_waits(instance, name, pool, now)
        self._export_calls(instance, name, pool, now)

    def _export_calls(self, instance: str, name: str, pool: Pool, now: float) -> None:
        in_flight, took, silent, silence = pool.calls(now)
        for stage in semconv.STAGES:
            own = {semconv.CALL_STAGE: stage}
            busy = stage == "requesting"
            self._add(semconv.CALL_CURRENT, in_flight * busy, now, instance, own, name)
            self._add(semconv.CALL_TIME, took * busy, now, instance, own, name)
        for outcome in semconv.OUTCOMES:
            own = {semconv.CALL_OUTCOME: outcome}
            self._add(semconv.CALLS, pool.tally.calls[outcome], now, instance, own, name)
        self._add(semconv.CALL_SILENT, silent, now, instance, {}, name)
        self._add(semconv.CALL_SILENCE, silence, now, instance, {}, name)

    def _export_waits(self, instance: str, name: str, pool: Pool, now: float) -> None:
        so_far = 0
        bounds = [f"{bound:g}" for bound in semconv.ACQUIRE_DURATION.buckets]
        for bound, count in zip([*bounds, "+Inf"], pool.tally.buckets, strict=True):
            so_far += count
            self._add(
                semconv.ACQUIRE_DURATION, so_far, now, instance, {}, name, "_bucket", le=bound
            )

    def _add(
        self,
        metric: Metric,
        value: float,
        now: float,
        instance: str,
        own: Mapping[str, str] | None = None,
        pool: str = "",
        part: str = "",
        /,
        **labels: str,
    ) -> None:
        known = {
            semconv.PROVIDER_NAME: pool,
            semconv.POOL_NAME: pool,
            semconv.POOL_LIBRARY: "httpx",
            semconv.SERVER_ADDRESS: f"{pool}.example.com",
            semconv.SERVER_PORT: "443",
            semconv.CALL_SOURCE: "any_llm",
            semconv.OPERATION_NAME: "chat",
        }
        level = {key: known[key] for key in metric.attributes if key in known and pool}
        attributes = {
            naming.label(key, metric): text for key, text in {**level, **(own or {})}.items()
        }
        everything = {"job": "api", "instance": instance, **attributes, **labels}
        self._store(metric_name(metric) + part, now, value, everything)

    def _store(self, name: str, now: float, value: float, labels: Mapping[str, str]) -> None:
        if self.gap[0] <= now < self.gap[1]:
            return
        inner = ",".join(f'{label}="{text}"' for label, text in labels.items())
        self.series.setdefault(f"{name}{{{inner}}}", {})[round(now / MINUTE)] = value


def written(samples: Samples, minutes: int) -> str:
    """Samples in promtool's notation, from minute 0 on; a run of one value is one word."""
    words = []
    for value, run in itertools.groupby(samples.get(minute) for minute in range(minutes + 1)):
        # A sample is repeated so many times; a gap is so long.
        repeated = len(list(run)) - (value is not None)
        text = "_" if value is None else f"{round(value, 3):g}"
        words.append(f"{text}x{repeated}" if repeated else text)
    return " ".join(words)
