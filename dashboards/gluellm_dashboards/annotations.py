"""Annotations of the boards: processes that started, limits that changed."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.builders import prometheus
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import dashboard as model

from .signals import events, fleet
from .style import NEUTRAL
from .variables import SOURCE, narrowed

_STEP: Final = "60s"
"""Shortest step; a long range has longer ones, and `$__interval` follows."""


def annotation_queries(*, recorded: bool = False) -> list[Builder[model.AnnotationQuery]]:
    """Return both annotations; ``recorded`` for boards on recording rules."""
    shown = fleet if recorded else events
    found: list[Builder[model.AnnotationQuery]] = []
    for name, signal, color, text in (
        ("Processes started", shown.STARTED, NEUTRAL, "{{job}} {{service_version}}"),
        (
            "Limits changed",
            shown.LIMIT_CHANGED,
            "orange",
            "{{job}}: the limit of {{gen_ai_provider_name}} {{gluellm_pool_name}} changed",
        ),
    ):
        expression = narrowed(signal.query, "$__interval", recorded=recorded)
        # Grafana reads `target`; where it has the older form only, `expr` and `step`.
        target = prometheus.Dataquery().datasource(SOURCE).expr(expression).interval(_STEP)
        found.append(
            build.AnnotationQuery()
            .name(name)
            .datasource(SOURCE)
            .enable(True)
            .icon_color(color)
            .target(target.range().ref_id("Anno"))
            .expr(expression)
            .step(_STEP)
            .title_format(name)
            .text_format(text)
            .tag_keys("job,service_version")
        )
    return found
