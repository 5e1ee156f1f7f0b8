"""Failures of the package that it catches itself: its log has only their types."""

from collections.abc import Callable

from opentelemetry.instrumentation.gluellm.failures import Failures


def on_failure(seen: Callable[[str, BaseException], None]) -> None:
    """Call ``seen`` with kind and exception of each failure, for the rest of the process."""
    caught = Failures.caught

    def noticed(self: Failures, kind: str, error: BaseException) -> None:
        caught(self, kind, error)
        seen(kind, error)

    Failures.caught = noticed  # type: ignore[method-assign]
