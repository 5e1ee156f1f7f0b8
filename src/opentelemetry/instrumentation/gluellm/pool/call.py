"""One LLM call, to which requests and pools are attributed."""

from __future__ import annotations

from .call_site import CallSite


class Call:
    """One any-llm call, to which its requests and the pools built inside it are attributed."""

    __slots__ = (
        "correlation_id",
        "ended",
        "model",
        "operation",
        "outer",
        "call_site",
        "provider",
        "requests",
        "steps",
    )

    def __init__(
        self,
        provider: str,
        model: str | None = None,
        operation: str | None = None,
        call_site: CallSite | None = None,
        correlation_id: str | None = None,
    ) -> None:
        self.provider = provider
        self.model = model
        self.operation = operation
        self.call_site = call_site
        """Line of the application that made the call; None if unknown."""
        self.correlation_id = correlation_id
        """GlueLLM's correlation id; None if there is none."""
        self.outer: Call | None = None
        """The call of another provider inside which this one was made."""
        self.ended = False
        """Whether the call is over. Further requests are then not attributed to it."""
        self.requests = 0
        self.steps = 0
        """How often the application has requested the next item of the call's stream."""
