"""One run of a program against all stores: what they hold, and what else arrived."""

import contextlib
import json
import socket
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from e2e import compose
from e2e.programs import Stack
from gluellm_pools.fake_provider import (
    Behaviour,
    Counts,
    FakeProvider,
    FakeProviderThread,
    ReceivedRequest,
)
from gluellm_pools.prometheus import Way
from studies.talking import TalkingProcess
from support.fake_xai import fake_xai
from support.network import Certificates, refused_url

from .acts import MAX_STREAMS
from .comparing import Compared, Origin, compare_pushed, compare_scraped

_ENDS_WITHIN = 30.0
RESOURCE = {
    "service.name": "arrival",
    "service.namespace": "e2e",
    "service.version": "1.2.3",
    "deployment.environment.name": "test",
    "k8s.namespace.name": "agents",
}
"""Resource attributes of the program, besides its instance."""
JOB = f"{RESOURCE['service.namespace']}/{RESOURCE['service.name']}"
PULLED_JOB = "pulled"
"""The job of programs that are scraped directly; the file with their target names it."""
_BEHAVIOURS = {
    "quick": Behaviour(tokens=4),
    "late": Behaviour(head_delay=0.3, tokens=4),
    "silent": Behaviour(head_delay=float("inf")),
    "stall": Behaviour(tokens=8, stall_after=2),
    "broken": Behaviour(status=500),
    "busy": Behaviour(status=429),
    "drop": Behaviour(drop_reused=True),
    "once": Behaviour(tokens=4),
}
"""By the requested model."""
_FIRST_TIME = Behaviour(status=503, retry_after=0.01)
"""The first answer to ``once``."""


class Process(TalkingProcess):
    """The program in a process of its own, with the providers that it calls."""

    def __init__(self, folder: Path, protocol: str, endpoint: str) -> None:
        folder.mkdir(parents=True)
        self.folder = folder
        self.instance = folder.name
        self.resource = {**RESOURCE, "service.instance.id": self.instance}
        self.counted: Mapping[str, Mapping[str, int]] = {}
        """What its callers counted: see `Counted`."""
        self._exits = contextlib.ExitStack()
        self._providers: list[FakeProvider] = []
        certificates = Certificates.make()
        authority = str(folder / "authority.pem")
        certificates.authority.cert_pem.write_to_path(authority)
        silent = self._exits.enter_context(socket.create_server(("127.0.0.1", 0)))
        targets = {
            **{name: self._provider().openai_url for name in ("plain", "tight", "odd")},
            "anthropic": self._provider().anthropic_url,
            "http2": self._provider(http2=True, max_streams=MAX_STREAMS).openai_url,
            "tls": self._provider(ssl_context=certificates.server()).openai_url,
            # Host and port, as gRPC takes them.
            "xai": self._exits.enter_context(fake_xai()).target,
            "authority": authority,
            # Connecting is refused; for the second one the program's own span processor fails.
            "refused": refused_url() + "v1",
            "spiteful": refused_url() + "v1",
            # Takes connections and never answers, a TLS handshake included.
            "deaf": f"https://127.0.0.1:{silent.getsockname()[1]}/v1",
        }
        (folder / "targets.json").write_text(json.dumps(targets))
        settings = {
            "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
            "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
            "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
            "OTEL_PYTHON_GLUELLM_FINDINGS": "false",  # a slow run would have one
            "OTEL_RESOURCE_ATTRIBUTES": ",".join(f"{k}={v}" for k, v in self.resource.items()),
        }
        super().__init__(["studies.arrival.program", str(folder)], folder / "log", settings)

    def _provider(self, **settings: Any) -> FakeProvider:
        asked: Counter[str] = Counter()

        def behaviour(request: ReceivedRequest) -> Behaviour:
            model = str(request.model)
            asked[model] += 1
            return _FIRST_TIME if model == "once" and asked[model] == 1 else _BEHAVIOURS[model]

        thread = FakeProviderThread(behaviour=behaviour, **settings)
        self._providers.append(self._exits.enter_context(thread))
        return self._providers[-1]

    @property
    def providers(self) -> dict[int, Counts]:
        """What each provider counted, by its port."""
        return {provider.port: provider.counts for provider in self._providers}

    @property
    def exports(self) -> list[Mapping[str, Any]]:
        """The metrics of each export so far; asserts that the Collector accepted all of them."""
        exports = _lines(self.folder / "Metric.jsonl")
        assert all(export["result"] == "SUCCESS" for export in exports), self.log_tail()
        return [export["metrics"] for export in exports]

    @property
    def spans(self) -> list[dict[str, Any]]:
        """The spans that the program exported so far."""
        return [span for batch in _lines(self.folder / "Trace.jsonl") for span in batch["spans"]]

    def read(self) -> dict[str, Any]:
        """The current metrics of the paused program."""
        self.send_line("read")
        metrics: dict[str, Any] = self.expect("metrics")["metrics"]
        return metrics

    def wait(self) -> None:
        """Wait until the program has ended. Raises AssertionError if it failed."""
        self.counted = self.expect("counted")
        status = self.process.wait(_ENDS_WITHIN)
        assert status == 0, f"the program ended with {status}:\n{self.log_tail()}"

    def end(self) -> None:
        """Stop the program if it still runs, and its providers."""
        self.kill()
        self._exits.close()


@dataclass
class Run:
    """One run and its comparisons."""

    stack: Stack
    program: Process
    moments: list[dict[Way, Compared]] = field(default_factory=list)
    """Comparisons while requests are held in every phase, and after the end. The second one uses
    the program's own page as scraped shortly before."""

    def play(self) -> None:
        """Let the program run to its end, and compare at both moments."""
        program = self.program
        port = program.expect("began")["scrape_port"]
        labels = {"job": PULLED_JOB, "instance": program.instance}
        self.stack.prometheus_scraping.scrape("programs", port, **labels)
        program.expect("held")
        self.moments.append({**self._pushed(), Way.READER: self._scraped()})
        program.send_line("go")
        program.expect("quiet")
        scraped = self._scraped()
        program.send_line("go")
        program.wait()
        self.moments.append({**self._pushed(), Way.READER: scraped})

    def _pushed(self) -> dict[Way, Compared]:
        resource = self.program.resource.items()
        labels = {key: value for key, value in resource if key in _promoted()}
        origin = Origin(JOB, self.program.instance, labels)
        return {
            way: compare_pushed(way, store, self.program.exports, origin)
            for way, store in (
                (Way.COLLECTOR, self.stack.prometheus_scraping),
                (Way.PROMETHEUS, self.stack.prometheus_otlp),
                (Way.VICTORIA_METRICS, self.stack.victoria_metrics),
            )
        }

    def _scraped(self) -> Compared:
        origin = Origin(PULLED_JOB, self.program.instance, {})
        return compare_scraped(self.stack.prometheus_scraping, self.program.read, origin)


@contextlib.contextmanager
def run(folder: Path, protocol: str) -> Iterator[Run]:
    """Run a program; its stores can be queried until the context is left."""
    stack = Stack(folder / "stack")
    with contextlib.ExitStack() as exits:
        exits.callback(stack.stop)
        stack.start()
        program = Process(folder / protocol, protocol, stack.collector.grpc_endpoint)
        exits.callback(program.end)
        done = Run(stack, program)
        done.play()
        yield done


def _lines(file: Path) -> list[Any]:
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


@cache
def _promoted() -> frozenset[str]:
    """The resource attributes that the development Prometheus turns into labels."""
    configuration = yaml.safe_load((compose.DEV / "prometheus/prometheus.yaml").read_text())
    return frozenset(configuration["otlp"]["promote_resource_attributes"])
