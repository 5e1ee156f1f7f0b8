"""One alert: its condition and its texts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from gluellm_pools.prometheus import label_name, metric_name
from opentelemetry.instrumentation.gluellm.telemetry import semconv

from .. import links
from ..variables import LABELS

CRITICAL: Final = "critical"
"""Pages on call."""
WARNING: Final = "warning"
"""For working hours."""
SEVERITIES: Final = (CRITICAL, WARNING)
"""The severities of kubernetes-mixin, so that existing routes fit."""

COMMAND: Final = "gluellm-pools doctor --pid PID"
"""Command that shows the state of a running process, if it was started with a snapshot signal."""

_ACTIVE: Final = f"{metric_name(semconv.FINDING_CURRENT)}{{job=%q}} == 1"
_KIND: Final = label_name(semconv.FINDING_KIND)
_SEVERITY: Final = label_name(semconv.FINDING_SEVERITY)
_PROVIDER: Final = label_name(semconv.PROVIDER_NAME)
FOUND: Final = (
    f"{{{{ with query (printf `count by ({_KIND}, {_SEVERITY}, {_PROVIDER}) ({_ACTIVE})` "
    "$labels.job) }} Found by its processes: {{ range $number, $found := . }}"
    f'{{{{ if $number }}}}, {{{{ end }}}}{{{{ reReplaceAll "_" " " $found.Labels.{_KIND} }}}}'
    f"{{{{ if $found.Labels.{_PROVIDER} }}}} of {{{{ $found.Labels.{_PROVIDER} }}}}{{{{ end }}}} "
    f"({{{{ $found.Labels.{_SEVERITY} }}}}){{{{ end }}}}.{{{{ end }}}}"
)
"""What the processes of the service find. Empty if they find nothing, or if there is no query."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One alerting rule. Rules for several causes of one problem may have the same name."""

    name: str
    severity: str
    expr: str
    """Condition, in PromQL."""
    hold: str = ""
    """Time for which the condition has to be true; empty if it fires at once."""
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
    finds: bool = False
    """Whether it is about findings: then it does not list those of the service."""
    command: str = COMMAND

    @property
    def rule(self) -> dict[str, Any]:
        """The rule in the format of Prometheus."""
        runbook = links.runbook(self.name)
        found = "" if self.finds else FOUND
        return {
            "alert": self.name,
            "expr": self.expr,
            **({"for": self.hold} if self.hold else {}),
            "labels": {"severity": self.severity} | ({"kind": self.kind} if self.kind else {}),
            "annotations": {
                "summary": self.summary,
                "description": f"{self.description} First: {self.first}{found}",
                "command": self.command,
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
