"""Read the ledger of calls from the public snapshot."""

import time

from opentelemetry.instrumentation.gluellm import snapshot
from opentelemetry.instrumentation.gluellm.snapshots.parts import CallsSnapshot
from support.telemetry import Telemetry


class Ledger:
    """Calls of the only provider since the start of the test."""

    def __init__(self, telemetry: Telemetry) -> None:
        self.telemetry = telemetry
        self.began = time.monotonic()

    @property
    def calls(self) -> CallsSnapshot:
        """Calls of the only provider and source."""
        (calls,) = snapshot().process.calls
        return calls

    def stages(self) -> dict[str, int]:
        """Return the calls in flight by stage."""
        return {stage: count for stage, count in self.calls.now.items() if count}

    @property
    def silence(self) -> float:
        """Seconds since the last item of the most silent stream."""
        return max((calls.oldest_silence or 0 for calls in snapshot().process.calls), default=0)

    def check(self, outcome: str, retries: int = 0, **least: float) -> None:
        """Assert that all calls had this outcome, and stages took at least these seconds.

        All stages together take no longer than the calls, even on a busy machine. ``pytest -rP``
        shows the printed rows.
        """
        calls = self.calls
        assert not calls.in_flight
        for stage, spent in calls.stage_seconds.items():
            print(f"{outcome}: {stage:10} {spent:6.3f} s, scheduled {least.get(stage, 0):.1f} s")
        assert {name for name, count in calls.outcomes.items() if count} == {outcome}
        assert calls.retries == retries
        for stage, seconds in least.items():
            assert calls.stage_seconds[stage] >= seconds, (stage, calls.stage_seconds)
        for stage in {"limited", "backoff"} - least.keys():
            assert calls.stage_seconds[stage] == 0, (stage, calls.stage_seconds)
        longest = calls.outcomes[outcome] * (time.monotonic() - self.began)
        assert sum(calls.stage_seconds.values()) <= longest, calls.stage_seconds
