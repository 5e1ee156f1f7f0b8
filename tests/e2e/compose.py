"""How ``dashboards/dev/compose.yaml`` starts a program, so that tests start it the same way."""

import re
from functools import cache
from pathlib import Path
from typing import Any

import yaml

DEV = Path(__file__).parents[2] / "dashboards" / "dev"
"""The configuration that users start from."""
WAYS = ("to-scrape", "to-prometheus", "to-victoria-metrics")
"""What ``METRICS_WAY`` can be: names of the Collector's second configuration file."""

_VARIABLE = re.compile(r"\$\{(\w+):-([^}]*)\}")


@cache
def services() -> dict[str, dict[str, Any]]:
    """The services of compose.yaml, as they stand there."""
    document = yaml.safe_load((DEV / "compose.yaml").read_text())
    found: dict[str, dict[str, Any]] = document["services"]
    return found


def interpolate(text: str, **values: str) -> str:
    """Put in the variables as compose does, with their defaults where no value is given."""
    return _VARIABLE.sub(lambda match: values.get(match[1], match[2]), text)


def flags(service: str, **replaced: str) -> list[str]:
    """The service's flags with values of the test's own, by their name without dashes.

    Raises KeyError for a flag that compose.yaml doesn't have: it would be one that users lack. In
    the name of an argument ``__`` stands for a dot and ``_`` for a dash.
    """
    values = {name.replace("__", ".").replace("_", "-"): v for name, v in replaced.items()}
    result = []
    for flag in services()[service]["command"]:
        name = flag.lstrip("-").partition("=")[0]
        result.append(f"--{name}={values.pop(name)}" if name in values else flag)
    if values:
        raise KeyError(f"{service} has no flag {', '.join(values)} in compose.yaml")
    return result
