"""One alert: its condition and its texts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from .. import links
from ..variables import LABELS

CRITICAL: Final = "critical"
"""Pages on call."""
WARNING: Final = "warning"
"""For working hours."""
INFO: Final = "info"
"""Worth knowing."""
SEVERITIES: Final = (CRITICAL, WARNING, INFO)
"""The severities of kubernetes-mixin, so that existing routes fit."""

COMMAND: Final = "gluellm-pools doctor --pid PID"
"""Command that shows the state of a running process, if it was started with a snapshot signal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One alerting rule. Several rules may share a name, for several causes of one problem."""

    name: str
    severity: str
    expr: str
    """PromQL."""
    hold: str
    """How long it has to be true."""
    labels: tuple[str, ...]
    """Labels of the result."""
    summary: str
    """One line. Both texts are templates of Prometheus, as vmalert knows them too."""
    description: str
    first: str
    """What to do first. Pagers' default templates show the description, so it ends with this."""
    board: str = links.POOL
    kind: str = ""
    """A label that distinguishes rules with the same name."""
    symptom: bool = False
    """Whether it is only a symptom of a page about the same provider, and is then suppressed."""

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
