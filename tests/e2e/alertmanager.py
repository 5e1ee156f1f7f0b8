"""Alertmanager, which groups, silences and inhibits the alerts of Prometheus."""

import json
from pathlib import Path
from typing import Any

from . import compose
from .running import HOST, Program, request


class Alertmanager(Program):
    """Alertmanager with the flags of compose.yaml and a configuration that the test chooses.

    It sends no notifications, unless the file gives a receiver an address.
    """

    executable = "alertmanager"
    health_path = "/-/ready"
    port_names = ("http",)

    def __init__(self, name: str, folder: Path, configuration: Path) -> None:
        super().__init__(name, folder)
        self.configuration = self.folder / "alertmanager.yaml"
        """Copy of the configuration. Tests may change it before the start."""
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
        """Return its alerts: ``labels``, ``annotations``, and ``status``.

        ``status["state"]`` is ``active`` or ``suppressed``, and ``status["inhibitedBy"]`` names
        the fingerprints of the alerts that suppress it. Raises RuntimeError with the response text
        if the status is not 200.
        """
        status, text = request(self.ports["http"], "/api/v2/alerts")
        if status != 200:
            raise RuntimeError(f"{self.name}: {status} {text}")
        found: list[dict[str, Any]] = json.loads(text)
        return found
