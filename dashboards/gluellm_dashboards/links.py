"""Links between boards, which keep the selection."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import dashboard as model

from . import config
from .variables import LABELS, without_version

OVERVIEW: Final = "gluellm-overview"
POOL: Final = "gluellm-pool"
PROVIDER: Final = "gluellm-provider"
FLEET: Final = "gluellm-fleet"

Link = Builder[model.DashboardLink]


def between_boards() -> Link:
    """Return the link to the other boards, by their tag."""
    return (
        build.DashboardLink("Boards")
        .type(model.DashboardLinkType.DASHBOARDS)
        .tags([config.TAG])
        .include_vars(True)
        .keep_time(True)
    )


def to_board(title: str, uid: str, *, recorded: bool = False, **chosen: str) -> Link:
    """Return a link to a board that sets these variables and keeps the others and the time.

    ``recorded`` is for boards on recording rules, which have no version to pass on.
    """
    labels = without_version(LABELS) if recorded else LABELS
    kept = [
        f"${{{name}:queryparam}}"
        for name in ("datasource", *labels, "interval")
        if name not in chosen
    ]
    new = [f"var-{name}={value}" for name, value in chosen.items()]
    address = "&".join([*kept, *new, "${__url_time_range}"])
    return build.DashboardLink(title).type(model.DashboardLinkType.LINK).url(f"/d/{uid}?{address}")


def runbook(alert: str) -> str | None:
    """Return the address of an alert's runbook; None if no base is configured."""
    return f"{config.BASE}/dashboards/runbooks/{alert}.md" if config.BASE else None


def to_runbook(alert: str) -> list[Link]:
    """Return the link to an alert's runbook; empty if no base is configured."""
    return _outside(f"Runbook: {alert}", runbook(alert))


def to_guide(heading: str = "findings") -> list[Link]:
    """Return the link to a part of "When calls hang"; empty if no base is configured."""
    base = config.BASE
    return _outside("What it means", f"{base}/docs/when-calls-hang.md#{heading}" if base else None)


def _outside(title: str, address: str | None) -> list[Link]:
    if address is None:
        return []
    link = build.DashboardLink(title).type(model.DashboardLinkType.LINK).url(address)
    return [link.target_blank(True)]
