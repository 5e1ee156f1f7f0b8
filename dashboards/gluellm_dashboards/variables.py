"""Variables of the boards, and how they narrow a query."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.common import DataSourceRef

from gluellm_pools.prometheus import metric_name

from . import config
from .naming import label, metric
from .query import Query

SOURCE: Final = DataSourceRef("prometheus", "${datasource}")
"""Variable of the data source, which every query uses."""
WINDOW: Final = "$__rate_interval"
"""Window of rates. With `STEP` as Min step, it has at least four export intervals."""
STEP: Final = "$interval"

_HOOKS: Final = metric("gluellm.instrumentation.hook.missing")
_ACTIVE: Final = metric("http.client.active_requests")
"""By origin, since a pool that several providers share has no provider."""
PROVIDER: Final = label("gen_ai.provider.name", _ACTIVE)
POOL: Final = label("gluellm.pool.name", _ACTIVE)

_OF_PROCESS: Final = {
    "cluster": config.CLUSTER,
    "namespace": config.NAMESPACE,
    "job": config.JOB,
    "version": config.VERSION,
    "instance": config.INSTANCE,
}
_OF_POOL: Final = {"provider": PROVIDER, "pool": POOL}
LABELS: Final = _OF_PROCESS | _OF_POOL
"""Variables, with the labels whose values they list."""


def without_version(variables: dict[str, str]) -> dict[str, str]:
    """Return the variables for boards on recording rules, whose series have no version."""
    return {name: label for name, label in variables.items() if name != "version"}


def _matchers(variables: dict[str, str]) -> str:
    return ",".join(f'{label}=~"${name}"' for name, label in variables.items())


def narrowed(
    query: Query, window: str = WINDOW, *, by: Sequence[str] = (), recorded: bool = False
) -> str:
    """Return the PromQL of a query, narrowed by a board's variables.

    ``recorded`` is for boards on recording rules.
    """
    chosen = without_version(LABELS) if recorded else LABELS
    of_process = {name: label for name, label in chosen.items() if name not in _OF_POOL}
    of_calls = of_process | {"provider": PROVIDER}
    return query.promql(
        _matchers(chosen), window, by=by, calls=_matchers(of_calls), process=_matchers(of_process)
    )


def variables(
    *, recorded: bool = False, opens_with_first: Sequence[str] = ()
) -> list[Builder[model.VariableModel]]:
    """Return all variables, each narrowed by those before it; no version for recording rules.

    A board opens with the first value of ``opens_with_first``, and with all values of the others.
    """
    labels = without_version(LABELS) if recorded else LABELS
    source = (
        build.DatasourceVariable("datasource")
        .label("Data source")
        .type("prometheus")
        .description("Prometheus, or a store that speaks its language.")
    )
    interval = (
        build.CustomVariable("interval")
        .label("Export interval")
        .description("How often programs export. Rates span at least four of these.")
        .values("10s,15s,30s,1m,5m")
        .current(model.VariableOption(text="1m", value="1m", selected=True))
    )
    return [
        source,
        *(_chooser(name, labels, all_at_first=name not in opens_with_first) for name in labels),
        interval,
    ]


def _chooser(
    name: str, labels: dict[str, str], *, all_at_first: bool
) -> Builder[model.VariableModel]:
    before = dict(list(labels.items())[: list(labels).index(name)])
    # Processes are there from instrument() on, pools from their first request.
    known = metric_name(_ACTIVE if name in _OF_POOL else _HOOKS)
    variable = (
        build.QueryVariable(name)
        .label("Service" if name == "job" else name.title())
        .datasource(SOURCE)
        .query(
            {
                "query": f"label_values({known}{{{_matchers(before)}}}, {LABELS[name]})",
                "refId": name,
            }
        )
        .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(model.VariableSort.ALPHABETICAL_ASC)
        .multi(True)
    )
    if all_at_first:
        # `.*` also lets series through that lack the label.
        variable.include_all(True).all_value(".*")
        variable.current(model.VariableOption(text="All", value="$__all", selected=True))
    return variable
