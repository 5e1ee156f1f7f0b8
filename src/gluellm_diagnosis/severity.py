"""How urgent a finding is: by what calls suffer, not by its cause."""

from __future__ import annotations

from opentelemetry.instrumentation.gluellm import thresholds

from .findings import Severity


def severity(
    *,
    failed: float = 0.0,
    attempts: bool = False,
    stuck: bool = False,
    waited: float = 0.0,
    took: float = 0.0,
    usual: float = 0.0,
    slower: bool = False,
    threatens: bool = False,
) -> Severity:
    """Return how urgent a finding is. Where no call is seen, requests stand for calls.

    - ``failed``: share of calls that fail, or are cancelled at one age. With ``attempts``, each is
      a single attempt (source ``http``), which the application may repeat.
    - ``stuck``: calls make no progress, and will not by themselves.
    - ``waited``: longest wait for a connection, in seconds.
    - ``took``, ``usual``: seconds that calls take, and took before; 0 if unknown.
    - ``slower``: calls are delayed beyond the limits.
    - ``threatens``: calls will fail as it goes on or as the load grows, because of what is held or
      grows, or because of a setting.
    """
    most = thresholds.HTTP_FAILURE_SHARE if attempts else thresholds.FAILURES_SEVERE
    much_slower = 0 < thresholds.MUCH_SLOWER * usual <= took >= usual + thresholds.MUCH_SLOWER_BY
    if failed >= most or stuck or waited > thresholds.STUCK_SEVERE_AFTER or much_slower:
        return Severity.ERROR
    if failed or slower or threatens:
        return Severity.WARNING
    return Severity.INFO
