"""The program in a process of its own, with the providers that it calls."""

from __future__ import annotations

import contextlib
import json
import socket
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from opentelemetry.instrumentation.gluellm.cli.fake_provider import (
    Behaviour,
    Counts,
    FakeProvider,
    FakeProviderThread,
    ReceivedRequest,
)
from studies.talking import TalkingProcess
from support.fake_xai import fake_xai
from support.network import Certificates

from .calling import MAX_STREAMS

_ENDS_WITHIN = 30.0
RESOURCE = {
    "service.name": "arrival",
    "service.namespace": "e2e",
    "service.version": "1.2.3",
    "deployment.environment.name": "test",
    "k8s.namespace.name": "agents",
}
"""What the program says about itself, beside its instance."""

_BEHAVIOURS = {
    "quick": Behaviour(tokens=4),
    "late": Behaviour(head_delay=0.1, tokens=4),
    "silent": Behaviour(head_delay=float("inf")),
    "stall": Behaviour(tokens=8, stall_after=2),
    "broken": Behaviour(status=500),
    "busy": Behaviour(status=429),
    "drop": Behaviour(drop_reused=True),
}
"""By the model that is asked for."""
_SECOND_TIME = Behaviour(tokens=4)
_FIRST_TIME = Behaviour(status=503, retry_after=0.01)


class Scripted:
    """Answers as the model's name says; ``once`` fails the first time."""

    def __init__(self) -> None:
        self._asked: Counter[str | None] = Counter()

    def __call__(self, request: ReceivedRequest) -> Behaviour:
        self._asked[request.model] += 1
        if request.model == "once":
            return _FIRST_TIME if self._asked["once"] == 1 else _SECOND_TIME
        return _BEHAVIOURS[str(request.model)]


class Surroundings:
    """The providers of one program, each with its own counts, and addresses without a provider."""

    def __init__(self, folder: Path) -> None:
        self._exits = contextlib.ExitStack()
        certificates = Certificates.make()
        authority = folder / "authority.pem"
        certificates.authority.cert_pem.write_to_path(str(authority))
        http2 = {"http2": True, "max_streams": MAX_STREAMS}
        self._providers: dict[str, FakeProvider] = {
            "plain": self._start(),
            "tight": self._start(),
            "odd": self._start(),
            "anthropic": self._start(),
            "http2": self._start(**http2),
            "tls": self._start(ssl_context=certificates.server()),
        }
        refused, spiteful = (self._listen(keep=False) for _ in range(2))
        targets = {
            **{
                name: provider.anthropic_url if name == "anthropic" else provider.openai_url
                for name, provider in self._providers.items()
            },
            # Host and port, as gRPC takes them.
            "xai": self._exits.enter_context(fake_xai()).target,
            "authority": str(authority),
            # Nobody listens, and for the second one the program's own span processor fails.
            "refused": f"http://127.0.0.1:{refused}/v1",
            "spiteful": f"http://127.0.0.1:{spiteful}/v1",
            # Takes connections and never answers, a TLS handshake included.
            "deaf": f"https://127.0.0.1:{self._listen(keep=True)}/v1",
        }
        (folder / "targets.json").write_text(json.dumps(targets))

    @property
    def counts(self) -> dict[int, Counts]:
        """What each provider saw, by its port."""
        return {provider.port: provider.counts for provider in self._providers.values()}

    def close(self) -> None:
        """Stop the providers."""
        self._exits.close()

    def _start(self, **settings: Any) -> FakeProvider:
        thread = FakeProviderThread(behaviour=Scripted(), **settings)
        return self._exits.enter_context(thread)

    def _listen(self, *, keep: bool) -> int:
        listener = socket.create_server(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        if keep:
            self._exits.enter_context(listener)
        else:
            listener.close()  # a port that was free a moment ago refuses
        return port


class Process(TalkingProcess):
    """The program, run by the interpreter of the tests."""

    def __init__(self, folder: Path, protocol: str, endpoint: str, instance: str) -> None:
        folder.mkdir(parents=True)
        self.folder = folder
        self.instance = instance
        self.resource = {**RESOURCE, "service.instance.id": instance}
        """What it says about itself."""
        self.surroundings = Surroundings(folder)
        super().__init__(
            ["studies.arrival.program", str(folder)],
            folder / "log",
            _exporting(protocol, endpoint, self.resource),
        )

    def read(self) -> dict[str, Any]:
        """The metrics as they are now in the program, which stands still."""
        self.tell("read")
        metrics: dict[str, Any] = self.expect("metrics")["metrics"]
        return metrics

    def go_on(self) -> None:
        """Let it leave where it stands."""
        self.tell("go")

    def wait(self) -> None:
        """Wait until it has ended by itself. Raises AssertionError if it failed."""
        status = self.process.wait(_ENDS_WITHIN)
        assert status == 0, f"the program ended with {status}:\n{self.log_tail()}"

    def end(self) -> None:
        """Stop it if it still runs, and its providers."""
        self.kill()
        self.surroundings.close()

    @property
    def exports(self) -> list[dict[str, Any]]:
        """The exports of metrics so far, as the program noted them."""
        return _lines(self.folder / "metrics.jsonl")

    @property
    def spans(self) -> list[dict[str, Any]]:
        """The spans that it exported so far."""
        return [span for batch in _lines(self.folder / "spans.jsonl") for span in batch["spans"]]


def _exporting(protocol: str, endpoint: str, resource: Mapping[str, str]) -> dict[str, str]:
    return {
        "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
        "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
        "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
        "OTEL_RESOURCE_ATTRIBUTES": ",".join(f"{key}={v}" for key, v in resource.items()),
    }


def _lines(file: Path) -> list[Any]:
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
