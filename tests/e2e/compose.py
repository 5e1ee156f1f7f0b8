"""Start programs as ``dashboards/dev/compose.yaml`` does."""

import re
from functools import cache
from pathlib import Path
from typing import Any

import yaml

DEV = Path(__file__).parents[2] / "dashboards" / "dev"
"""The configuration that users start from."""
WAYS = ("to-scrape", "to-prometheus", "to-victoria-metrics")
"""Values of ``METRICS_WAY``: names of the Collector's second configuration file."""

_VARIABLE = re.compile(r"\$\{(\w+):-([^}]*)\}")


@cache
def services() -> dict[str, dict[str, Any]]:
    """Read the services of compose.yaml."""
    document = yaml.safe_load((DEV / "compose.yaml").read_text())
    found: dict[str, dict[str, Any]] = document["services"]
    return found


def interpolate(text: str, **values: str) -> str:
    """Substitute variables as compose does, by the given values or their defaults."""
    return _VARIABLE.sub(lambda match: values.get(match[1], match[2]), text)


def flags(service: str, **replaced: str) -> list[str]:
    """Return the service's flags, some with other values.

    An argument's name is that of its flag, with ``__`` for a dot and ``_`` for a dash. Raises
    KeyError for a flag that compose.yaml doesn't have, since users would not have it either.
    """
    values = {name.replace("__", ".").replace("_", "-"): v for name, v in replaced.items()}
    result = []
    for flag in services()[service]["command"]:
        name = flag.lstrip("-").partition("=")[0]
        result.append(f"--{name}={values.pop(name)}" if name in values else flag)
    if values:
        raise KeyError(f"{service} has no flag {', '.join(values)} in compose.yaml")
    return result
