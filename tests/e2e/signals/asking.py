"""A signal, asked by promtool over series that a test writes down."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from gluellm_dashboards.signals.signal import Signal

from ..running import find

WINDOW: Final = "4m"
POOL: Final = {
    "job": "api",
    "instance": "api-1",
    "gen_ai_provider_name": "openai",
    "gluellm_pool_name": "openai",
}
_MOST_SECONDS: Final = 60


def series(name: str, labels: Mapping[str, str], values: str) -> dict[str, str]:
    """One series, its values as promtool writes them, a minute apart."""
    inside = ",".join(f'{key}="{value}"' for key, value in labels.items())
    return {"series": f"{name}{{{inside}}}", "values": values}


def check(
    folder: Path,
    written: Sequence[Mapping[str, str]],
    signal: Signal,
    at: str,
    expected: Mapping[str, float],
    *,
    by: Sequence[str] | None = (),
) -> None:
    """Fail unless the signal answers this at a time: values, by their labels as PromQL has them."""
    test: dict[str, Any] = {
        "rule_files": [],
        "evaluation_interval": "1m",
        "fuzzy_compare": True,
        "tests": [
            {
                "interval": "1m",
                "input_series": list(written),
                "promql_expr_test": [
                    {
                        "expr": signal.query.promql("", WINDOW, by=by),
                        "eval_time": at,
                        "exp_samples": [
                            {"labels": labels, "value": value} for labels, value in expected.items()
                        ],
                    }
                ],
            }
        ],
    }
    file = folder / "signal.yaml"
    file.write_text(yaml.safe_dump(test))
    done = subprocess.run(
        [str(find("promtool")), "test", "rules", str(file)],
        capture_output=True,
        text=True,
        timeout=_MOST_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
