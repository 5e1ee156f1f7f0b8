"""One alert: its condition and its texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from gluellm_pools.prometheus import label_name, metric_name
from opentelemetry.instrumentation.gluellm.telemetry import semconv

from .. import config, links
from ..variables import LABELS

CRITICAL: Final = "critical"
"""Pages on call."""
WARNING: Final = "warning"
"""For working hours. Both are severities of kubernetes-mixin, so that existing routes fit."""

COMMAND: Final = "gluellm-pools doctor --instance"
"""Command that shows the state of a running process, followed by its ``service.instance.id``."""
_ADDRESS: Final = "host_name, k8s_pod_name, process_pid"
"""Labels of ``target_info``, if the program uses the resource detector ``gluellm``."""
_KIND: Final = label_name(semconv.FINDING_KIND)
_SEVERITY: Final = label_name(semconv.FINDING_SEVERITY)
_PROVIDER: Final = label_name(semconv.PROVIDER_NAME)


def _query(promql: str, labels: Sequence[str]) -> str:
    """Return the template of a query, in which ``%s`` is for matchers of the alert's labels."""
    matchers = ",".join(f"{label}=%q" for label in labels)
    arguments = [f"$labels.{label}" for label in labels] * promql.count("%s")
    return f"query (printf `{promql.replace('%s', matchers)}` {' '.join(arguments)})"


def ask(promql: str, labels: Sequence[str], top: int = 1) -> str:
    """Return the template of the commands for the instances with the highest values.

    ``promql`` is by job and instance. Without an answer, the command has a place for the instance.
    """
    worst = f"topk({top}, {promql} > 0)"
    joined = (
        f"{worst} * on (job, instance) group_left ({_ADDRESS}) "
        f"max by (job, instance, {_ADDRESS}) (target_info) or on (job, instance) {worst}"
    )
    return (
        f"{{{{ range $n, $one := {_query(joined, labels)} }}}}{{{{ if $n }}}}; {{{{ end }}}}"
        f"`{COMMAND} {{{{ $one.Labels.instance }}}}`{{{{ if $one.Labels.host_name }}}} "
        "on {{ or $one.Labels.k8s_pod_name $one.Labels.host_name }} "
        "(PID {{ $one.Labels.process_pid }}){{ end }}"
        f"{{{{ else }}}}`{COMMAND} INSTANCE`{{{{ end }}}}"
    )


_ACTIVE: Final = (
    f"count by ({_KIND}, {_SEVERITY}, {_PROVIDER}) "
    f"({metric_name(semconv.FINDING_CURRENT)}{{%s}} == 1)"
)
FOUND: Final = (
    f"{{{{ with {_query(_ACTIVE, config.SERVICE)} }}}} Found by its processes: "
    "{{ range $n, $found := . }}{{ if $n }}, {{ end }}"
    f'{{{{ reReplaceAll "_" " " $found.Labels.{_KIND} }}}}'
    f"{{{{ if $found.Labels.{_PROVIDER} }}}} of {{{{ $found.Labels.{_PROVIDER} }}}}{{{{ end }}}} "
    f"({{{{ $found.Labels.{_SEVERITY} }}}}){{{{ end }}}}.{{{{ end }}}}"
)
"""What the processes of the service find. Empty if they find nothing, or if there is no query."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One alerting rule. Rules for several causes of one problem may have the same name."""

    name: str
    severity: str = WARNING
    expr: str
    """Condition, in PromQL."""
    hold: str = "1m"
    """Time for which the condition has to be true; empty if it fires at once."""
    labels: tuple[str, ...] = (*config.SERVICE, _PROVIDER)
    """Labels of the result."""
    summary: str
    """One line. It and the description are templates of Prometheus, as for vmalert."""
    description: str
    first: str
    """What to do first. The description ends with it, since pagers' default templates show that."""
    board: str = links.OVERVIEW
    kind: str = ""
    """A label that distinguishes rules with the same name."""
    finds: bool = False
    """Whether it is about findings: then it does not list those of the service."""

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
