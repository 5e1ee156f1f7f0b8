"""Calls of source ``http``: requests that call a model and are in no other call."""

from __future__ import annotations

from collections.abc import Callable

from ..pool.call import Call, LiveCalls
from ..pool.call_site import CallSite, Near
from ..vocabulary import OTHER
from .calls import OnError, model_text
from .context import NO_CALL, current_call, current_counted
from .hosts import Described, Naming


class HttpCalls:
    """Recognizes the requests of one installation that are calls, and begins these calls.

    ``calls`` counts calls; None if they are not counted.
    """

    def __init__(
        self,
        on_error: OnError,
        find_call_site: Callable[..., CallSite | None],
        calls: LiveCalls | None,
        naming: Naming,
    ) -> None:
        self._on_error = on_error
        self._find_call_site = find_call_site
        self._calls = calls
        self._naming = naming

    def described(
        self, host: str | bytes, port: int | None, path: str | bytes | None
    ) -> Described | None:
        """Describe a POST that calls a model and is in no call, as `Naming.described` does."""
        found = self._naming.described(host, port, path)
        return None if found is None or _in_call() else found

    def begin(self, described: Described, near: Near, at: CallSite | None = None) -> Call | None:
        """Begin the call of a request; None if calls are not counted.

        ``at`` is its call site. If that is None, it is searched, first where ``near`` found the
        last one.
        """
        if self._calls is None:
            return None
        try:
            provider, operation, model = described
            model = None if model is None else model_text(model)
            at = at or self._find_call_site(near)
            call = Call(provider, model, operation, at, sdk=True, single=True)
            call.counted = self._calls.begin_request(operation or OTHER, provider)
            call.counted.model = model
            return call
        except Exception as error:
            self._on_error("attribution.http", error)
            return None


def _in_call() -> bool:
    """Whether the current code runs in another call, or in an SDK's request that is no call."""
    call = current_call.get()
    if call is not None and (not call.ended or call is NO_CALL):
        return True
    counted = current_counted.get()
    return counted is not None and not counted.ended_at
