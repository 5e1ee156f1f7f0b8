"""Evaluate a signal with promtool over series that a test defines."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import yaml

from gluellm_dashboards.signals.signal import Signal

from ..running import succeed

WINDOW: Final = "4m"
POOL: Final = {
    "job": "api",
    "instance": "api-1",
    "gen_ai_provider_name": "openai",
    "gluellm_pool_name": "openai",
}


def series(name: str, labels: Mapping[str, str], values: str) -> dict[str, str]:
    """Return one series. Its values, one per minute, are in promtool's notation."""
    inside = ",".join(f'{key}="{value}"' for key, value in labels.items())
    return {"series": f"{name}{{{inside}}}", "values": values}


def check(
    folder: Path,
    written: Sequence[Mapping[str, str]],
    *asked: tuple[Signal, str, Mapping[str, float]],
    by: Sequence[str] | None = (),
) -> None:
    """Fail unless each signal has the given values at its time. Labels are written as in PromQL."""
    expressions = [
        {
            "expr": signal.query.promql("", WINDOW, by=by),
            "eval_time": at,
            "exp_samples": [
                {"labels": labels, "value": value} for labels, value in expected.items()
            ],
        }
        for signal, at, expected in asked
    ]
    one = {"interval": "1m", "input_series": list(written), "promql_expr_test": expressions}
    test = {"evaluation_interval": "1m", "fuzzy_compare": True, "tests": [one]}
    file = folder / "signal.yaml"
    file.write_text(yaml.safe_dump(test))
    succeed("promtool", "test", "rules", file)
