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
"""Useful to know."""
SEVERITIES: Final = (CRITICAL, WARNING, INFO)
"""The severities of kubernetes-mixin, so that existing routes fit."""

COMMAND: Final = "gluellm-pools doctor --pid PID"
"""Command that shows the state of a running process, if it was started with a snapshot signal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One alerting rule. Rules for several causes of one problem may have the same name."""

    name: str
    severity: str
    expr: str
    """Condition, in PromQL."""
    hold: str
    """Time for which the condition has to be true."""
    labels: tuple[str, ...]
    """Labels of the result."""
    summary: str
    """One line. It and the description are templates of Prometheus, as for vmalert."""
    description: str
    first: str
    """What to do first. The description ends with it, since pagers' default templates show that."""
    board: str = links.POOL
    kind: str = ""
    """A label that distinguishes rules with the same name."""
    symptom: bool = False
    """Whether it is only a symptom of a page about the same provider, and is then suppressed."""

    @property
    def rule(self) -> dict[str, Any]:
        """The rule in the format of Prometheus."""
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
        """Path of its board below Grafana's address, with the alert's labels selected."""
        chosen = [
            f"var-{variable}={{{{ urlquery $labels.{label} }}}}"
            for variable, label in LABELS.items()
            if label in self.labels
        ]
        return f"/d/{self.board}?{'&'.join(chosen)}"
