"""The series of one program in Prometheus, from whose values all others are made."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gluellm_pools.prometheus import label_name
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from studies.talking import ran

from .store import BlockStore

OURS: Final = "{__name__=~'gluellm_.+|http_client_.+|target_info'}"
PROVIDER: Final = label_name(semconv.PROVIDER_NAME)
ADDRESS: Final = label_name(semconv.SERVER_ADDRESS)
PORT: Final = label_name(semconv.SERVER_PORT)


@dataclass(frozen=True, slots=True)
class Series:
    """One series of the program, and its value at its only export."""

    labels: Mapping[str, str]
    """Without the name."""
    name: str
    value: float

    @property
    def provider(self) -> str:
        """The provider; empty for the series of the process."""
        return self.labels.get(PROVIDER, "")


def series_of_one_program(folder: Path) -> list[Series]:
    """Run the program against a Prometheus with the users' configuration, and read what it has."""
    store = BlockStore(folder / "template", folder / "template-data")
    with store:
        ran(sys.executable, "-m", "studies.scale.program", store.otlp_endpoint, timeout=120)
        return list(map(_series, store.query(OURS)))


def _series(row: Mapping[str, object]) -> Series:
    labels = dict(row["metric"])  # type: ignore[call-overload]
    if ADDRESS in labels:
        # A fake provider has a port instead of a name.
        labels[ADDRESS], labels[PORT] = f"{labels[PROVIDER]}.example.com", "443"
    return Series(labels, labels.pop("__name__"), row["value"][1])  # type: ignore[index]
