"""The program under test as a process of its own, told by a line what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from e2e.processes import environment
from studies.talking import TalkingProcess

INTERVAL = 0.2
"""Seconds between two exports."""
TIMEOUT = 0.5
"""Seconds after which an export is given up. The SDK's default is 10."""
NO_TELEMETRY = "none"
PROTOCOLS = ("grpc", "http/protobuf")
_ENDS_WITHIN = 60.0


def exporting(endpoint: str, instance: str, timeout: float = TIMEOUT) -> dict[str, str]:
    """What tells the SDK where to export to and who it is, with gzip and often."""
    return environment(
        endpoint,
        "calling",
        instance,
        INTERVAL,
        OTEL_EXPORTER_OTLP_TIMEOUT=str(timeout),
        OTEL_BSP_SCHEDULE_DELAY=f"{INTERVAL * 1000:.0f}",
    )


class Application(TalkingProcess):
    """A running ``calling.py``."""

    def __init__(
        self, provider_url: str, protocol: str, log: Path, variables: dict[str, str]
    ) -> None:
        arguments = ["studies.faults.calling", provider_url, protocol]
        super().__init__(arguments, log, variables, new_session=True)

    def ask(self, command: str) -> dict[str, Any]:
        """Give a command and wait for its figures."""
        self.tell(command)
        return self.expect("figures")

    def stop(self) -> None:
        """Let it end by itself. Raises AssertionError when it fails."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        assert self.process.wait(_ENDS_WITHIN) == 0, self.log_tail()
