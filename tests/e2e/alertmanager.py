"""Alertmanager, which groups, silences and inhibits what Prometheus fires."""

import json
from pathlib import Path
from typing import Any

from . import compose
from .running import HOST, Program, request


class Alertmanager(Program):
    """Alertmanager with the flags of compose.yaml and a configuration file of the test's choice.

    Nothing is notified: a receiver without an address takes it, unless the file says otherwise.
    """

    executable = "alertmanager"
    health_path = "/-/ready"
    port_names = ("http",)

    def __init__(self, name: str, folder: Path, configuration: Path) -> None:
        super().__init__(name, folder)
        self.configuration = self.folder / "alertmanager.yaml"
        """A copy, which may be changed before the start."""
        self.configuration.write_bytes(configuration.read_bytes())

    def command(self, executable: Path) -> list[str]:
        return [
            str(executable),
            *compose.flags(
                "alertmanager",
                config__file=str(self.configuration),
                storage__path=str(self.folder / "data"),
                web__listen_address=f"{HOST}:{self.ports['http']}",
            ),
        ]

    def alerts(self) -> list[dict[str, Any]]:
        """Its alerts: ``labels``, ``annotations``, and ``status``.

        ``status["state"]`` is ``active`` or ``suppressed``, and ``status["inhibitedBy"]`` names
        the fingerprints of the alerts that suppress it. Raises RuntimeError with the text of the
        answer if it refuses.
        """
        status, text = request(self.ports["http"], "/api/v2/alerts")
        if status != 200:
            raise RuntimeError(f"{self.name}: {status} {text}")
        found: list[dict[str, Any]] = json.loads(text)
        return found
