"""A finding as the watch and telemetry see it, without the judge."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """What the watch and telemetry read of a finding."""

    kind: str = "retries"
    severity: str = "warning"
    pool: str | None = "openai/httpx2"
    library: str | None = "httpx2"
    provider: str | None = None
    source: str | None = None
    observed: str = "28 with status 429"
    held: bool = False

    def __str__(self) -> str:
        return f"the whole text of {self.kind}"
