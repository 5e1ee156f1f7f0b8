"""Annotations of the boards: processes that started, limits that changed."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.builders import prometheus
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import dashboard as model

from .signals import events, fleet
from .signals.signal import Signal
from .style import NEUTRAL
from .variables import (
    MATCHERS,
    PROCESS_MATCHERS,
    RECORDED_MATCHERS,
    RECORDED_PROCESS_MATCHERS,
    SOURCE,
)

_STEP: Final = "60s"
"""Shortest step; a long range has longer ones, and `$__interval` follows."""


def annotation_queries(*, recorded: bool = False) -> list[Builder[model.AnnotationQuery]]:
    """Return both annotations; ``recorded`` for boards on recording rules."""
    return [
        _annotation(
            "Processes started",
            fleet.STARTED if recorded else events.STARTED,
            recorded,
            NEUTRAL,
            "{{job}} {{service_version}}: processes started",
        ),
        _annotation(
            "Limits changed",
            fleet.LIMIT_CHANGED if recorded else events.LIMIT_CHANGED,
            recorded,
            "orange",
            "{{job}}: the limit of {{gen_ai_provider_name}} {{gluellm_pool_name}} changed",
        ),
    ]


def _annotation(
    name: str, signal: Signal, recorded: bool, color: str, text: str
) -> Builder[model.AnnotationQuery]:
    expression = signal.query.promql(
        RECORDED_MATCHERS if recorded else MATCHERS,
        "$__interval",
        process=RECORDED_PROCESS_MATCHERS if recorded else PROCESS_MATCHERS,
    )
    # Grafana reads `target`; where it has the older form only, `expr` and `step`.
    target = prometheus.Dataquery().datasource(SOURCE).expr(expression).interval(_STEP)
    return (
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
