"""One alert: when it fires, and what it says to whoever is called."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from .. import links
from ..variables import LABELS

CRITICAL: Final = "critical"
"""Somebody is paged."""
WARNING: Final = "warning"
"""Somebody looks in working hours."""
INFO: Final = "info"
"""Worth knowing."""
SEVERITIES: Final = (CRITICAL, WARNING, INFO)
"""As kubernetes-mixin has them, so that routes which people have fit."""

COMMAND: Final = "gluellm-pools doctor --pid PID"
"""What shows the living process, where it listens for a signal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One alerting rule. Several may have one name: several ways to the same trouble."""

    name: str
    severity: str
    expr: str
    """PromQL."""
    hold: str
    """How long it has to be true."""
    labels: tuple[str, ...]
    """Which labels the result has."""
    summary: str
    """One line. Both texts are templates of Prometheus, as vmalert knows them too."""
    description: str
    first: str
    """What to do first. Pagers' default templates show the description, so it ends with this."""
    board: str = links.POOL
    kind: str = ""
    """A label that tells apart what has one name."""
    symptom: bool = False
    """Whether it adds nothing to a page about the same provider. A cause explains the page."""

    @property
    def rule(self) -> dict[str, Any]:
        """As Prometheus reads it."""
        runbook = links.runbook(self.name)
        return {
            "alert": self.name,
            "expr": self.expr,
            "for": self.hold,
            "labels": {"severity": self.severity} | ({"kind": self.kind} if self.kind else {}),
            "annotations": {
                "summary": self.summary,
                "description": f"{self.description} First: {self.first}",
                "command": COMMAND,
                "dashboard": self.dashboard,
                **({"runbook_url": runbook} if runbook else {}),
            },
        }

    @property
    def dashboard(self) -> str:
        """The path of its board below Grafana's address, narrowed to what is concerned."""
        chosen = [
            f"var-{variable}={{{{ urlquery $labels.{label} }}}}"
            for variable, label in LABELS.items()
            if label in self.labels
        ]
        return f"/d/{self.board}?{'&'.join(chosen)}"
