"""The store of a size: many programs' series, made from one program's by promtool.

The one program's export is what a program does in one step of load. Counters and histograms are so
many of these steps: buckets stay in order, and a count is what its last bucket has.
"""

from __future__ import annotations

import asyncio
import math
import random
import subprocess
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from typing import Any, Final

from any_llm import AnyLLM

from e2e.calls import ask, exporting, instrumented
from e2e.running import find
from opentelemetry.instrumentation.gluellm.cli.fake_provider import Behaviour, FakeProvider
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from opentelemetry.instrumentation.gluellm.telemetry.prometheus import label_name

from .store import BlockStore

RULES: Final = Path(__file__).parents[3] / "dashboards" / "prometheus"
"""The folder of the rule files."""
MINUTE: Final = 60
DAY: Final = 24 * 60
"""Minutes."""
_BLOCK: Final = 2 * 60 * MINUTE
"""Seconds that Prometheus has in a block."""
_WARMING: Final = 10 * MINUTE
"""Until the windows of all rates are full."""
_COURSES: Final = 8
"""How many courses of load there are; instances share them."""
_COUNTERS: Final = ("_total", "_bucket", "_sum", "_count")
_SERVICES: Final = (
    "answers search summaries support translations moderation labels reports drafts assistant"
).split()
BUDGET = 110
"""Series of a healthy provider with one origin (docs/decisions/0004-cardinality.md)."""
OURS = "{__name__=~'gluellm_.+|http_client_.+|target_info'}"
_PROVIDERS = ("openai", "anthropic", "deepseek", "openrouter", "fireworks")
"""Keys of any-llm."""
_PROVIDER = label_name(semconv.PROVIDER_NAME)
_AT_ONCE = 3
_BEHAVIOUR = Behaviour(head_delay=0.2, tokens=5, token_rate=50)


@dataclass(frozen=True, slots=True)
class Built:
    """A store that is there."""

    data: Path
    end: int
    """The time of the newest sample, in seconds since the epoch."""
    series: Mapping[str, int]
    """Of one program, by provider; those of the process under an empty name."""


def built(instances: int, minutes: int, folder: Path) -> Built:
    """Build the store of so many programs in a folder."""
    end = int(time.time()) // MINUTE * MINUTE
    start = end - minutes * MINUTE
    data = folder / "data"
    data.mkdir()
    template = series_of_one_program(folder)
    for first, last in _spans(start, end + MINUTE):
        for labels, own in _services(instances):
            text = folder / "text"
            _write(text, template, own, labels, range(first, last, MINUTE), end)
            shared = (f"--label={name}={value}" for name, value in labels.items())
            _promtool("create-blocks-from", "openmetrics", "--quiet", *shared, text, data)
        size = sum(file.stat().st_size for file in data.rglob("*") if file.is_file())
        print(f"  raw samples of {(last - first) / 3600:.1f} h, {size / 1e9:.2f} GB", flush=True)
    print("  recording rules")
    with (store := BlockStore(folder / "recording", data)):
        times = f"--start={start + _WARMING}", f"--end={end}"
        where = f"--url={store.url}", f"--output-dir={data}"
        _promtool(
            "create-blocks-from", "rules", "--quiet", *where, *times, *sorted(RULES.glob("*.yaml"))
        )
    print("  compaction", flush=True)
    store.compact()
    return Built(data, end, Counter(one.provider for one in template))


def _promtool(*arguments: str | Path) -> None:
    """``promtool tsdb``. Raises RuntimeError with its output when it fails."""
    command = [str(find("promtool")), "tsdb", *map(str, arguments)]
    finished = subprocess.run(command, capture_output=True, text=True)
    if finished.returncode:
        raise RuntimeError(f"{' '.join(command)}\n{finished.stderr[-1000:]}")


def _spans(start: int, end: int) -> Iterator[tuple[int, int]]:
    """The time cut where Prometheus begins a new block."""
    while start < end:
        cut = min(end, start - start % _BLOCK + _BLOCK)
        yield start, cut
        start = cut


def _services(instances: int) -> Iterator[tuple[dict[str, str], list[dict[str, str]]]]:
    """Up to ten services, on two clusters, in two versions: shared labels, and each instance's."""
    chance = random.Random(instances)
    for number, name in enumerate(names := _SERVICES[:instances]):
        namespace = f"team-{number % 4}"
        labels = {
            "job": f"{namespace}/{name}",
            "service_name": name,
            "service_namespace": namespace,
            "deployment_environment_name": "production",
            "k8s_cluster_name": ("east", "west")[number % 2],
            "k8s_namespace_name": namespace,
        }
        own = []
        for index in range(len(range(number, instances, len(names)))):
            instance = str(uuid.UUID(int=chance.getrandbits(128), version=4))
            pod = f"{name}-{chance.getrandbits(40):010x}-{chance.getrandbits(20):05x}"
            version = ("1.4.2", "1.5.0")[index % 2]
            one = {"instance": instance, "service_instance_id": instance, "k8s_pod_name": pod}
            own.append({**one, "service_version": version})
        yield labels, own


def _write(
    file: Path,
    template: Sequence[Series],
    instances: Sequence[Mapping[str, str]],
    shared: Mapping[str, str],
    times: range,
    end: int,
) -> None:
    """The text of one service's instances. Labels that they share are left to promtool."""
    own = [_labels(instance) + "}" for instance in instances]
    differing = {*shared, *instances[0]}
    courses = [_steps(variant) for variant in range(_COURSES)]
    with file.open("wb", buffering=1 << 20) as text:
        for series in template:
            rows: list[list[bytes]] = []
            for steps in courses:
                rows.append([])
                for at in times:
                    value = series.value
                    if series.name.endswith(_COUNTERS):
                        value = round(value * steps[DAY - (end - at) // MINUTE], 6)
                    rows[-1].append(f" {value:.12g} {at}\n".encode())
            labels = {name: text for name, text in series.labels.items() if name not in differing}
            named = f"{series.name}{{{_labels(labels)}{',' if labels else ''}"
            for number, instance in enumerate(own):
                prefix = (named + instance).encode()
                text.write(prefix + prefix.join(rows[number % _COURSES]))
        text.write(b"# EOF\n")


def _steps(variant: int) -> list[int]:
    """Steps of load until each minute of a day; they never fall, and begin above 0."""
    chance = random.Random(variant)
    loads = (
        round(2 + 2 * math.sin(2 * math.pi * (minute / DAY + variant / _COURSES)) + chance.random())
        for minute in range(DAY)
    )
    return list(accumulate(loads, initial=1))


def _labels(labels: Mapping[str, str]) -> str:
    return ",".join(f'{name}="{value}"' for name, value in labels.items())


@dataclass(frozen=True, slots=True)
class Series:
    """One series of the program, and its value at its only export."""

    labels: Mapping[str, str]
    """Without the name."""
    name: str
    value: float

    @property
    def provider(self) -> str:
        """Empty for the series of the process."""
        return self.labels.get(_PROVIDER, "")


def series_of_one_program(folder: Path) -> list[Series]:
    """Call five providers, export to a Prometheus with the users' configuration, and read it."""
    with (
        BlockStore(folder / "template", folder / "template-data") as store,
        instrumented(exporting(store.otlp_endpoint), "one") as provider,
    ):
        asyncio.run(_calls(provider.force_flush))
        return list(map(_series, store.query(OURS)))


def _series(row: Mapping[str, Any]) -> Series:
    labels, address = dict(row["metric"]), label_name(semconv.SERVER_ADDRESS)
    if address in labels:
        # A fake provider has a port instead of a name.
        labels[address] = f"{labels[_PROVIDER]}.example.com"
        labels[label_name(semconv.SERVER_PORT)] = "443"
    return Series(labels, labels.pop("__name__"), row["value"][1])


async def _calls(export: Any) -> None:
    """What healthy pools see: connections that are new, reused and closed, answers and a stream."""
    async with AsyncExitStack() as exits:
        llms = []
        for name in _PROVIDERS:
            # One for each, so that each is an origin.
            fake = await exits.enter_async_context(FakeProvider(behaviour=_BEHAVIOUR))
            url = fake.anthropic_url if name == "anthropic" else fake.openai_url
            llm = AnyLLM.create(name, api_key="any", api_base=url, timeout=60.0)
            await asyncio.gather(*(ask(llm, 1) for _ in range(_AT_ONCE)))
            await ask(llm, 1)
            fake.script(replace(_BEHAVIOUR, close=True))
            await ask(llm, 1)
            messages: list[Any] = [{"role": "user", "content": "hello"}]
            answer: Any = await llm.acompletion(model="some", messages=messages, stream=True)
            async for _ in answer:
                pass
            llms.append(llm)
        # While the clients live, as they do in a program that serves.
        await asyncio.to_thread(export)
        for llm in llms:
            await llm.client.close()  # type: ignore[attr-defined]
