"""Alertmanager, which groups, silences and inhibits what Prometheus fires."""

from __future__ import annotations

import http.client
import json
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from . import compose
from .running import HOST, READY_WITHIN, Program


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

    @property
    def url(self) -> str:
        """The base URL of its API and its pages, as ``amtool --alertmanager.url`` takes it."""
        return f"http://{HOST}:{self.ports['http']}"

    def alerts(self, *matchers: str) -> list[dict[str, Any]]:
        """The alerts it has: ``labels``, ``annotations``, and ``status``.

        ``status["state"]`` is ``active`` or ``suppressed``, and ``status["inhibitedBy"]`` names
        the fingerprints of the alerts that suppress it. A matcher is ``alertname="..."``. Raises
        RuntimeError with what it said when it refuses.
        """
        query = urlencode([("filter", matcher) for matcher in matchers])
        connection = http.client.HTTPConnection(HOST, self.ports["http"], timeout=READY_WITHIN)
        try:
            connection.request("GET", f"/api/v2/alerts?{query}")
            response = connection.getresponse()
            body = response.read()
        finally:
            connection.close()
        if response.status != 200:
            raise RuntimeError(f"{self.name}: {response.status} {body.decode(errors='replace')}")
        found: list[dict[str, Any]] = json.loads(body)
        return found
