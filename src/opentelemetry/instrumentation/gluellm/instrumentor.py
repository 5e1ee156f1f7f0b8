"""Public entry points: the instrumentor and ``snapshot()``."""

from __future__ import annotations

import os
import threading
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, Literal, TypedDict, Unpack

from opentelemetry.instrumentation.instrumentor import BaseInstrumentor  # type: ignore[attr-defined]
from opentelemetry.metrics import MeterProvider
from opentelemetry.trace import TracerProvider

from .concurrency import in_forked_child
from .environment import limits_asked_for
from .failures import warn
from .package import _instruments
from .text import one_line, where_it_failed

# Imported by the methods that need it, so that importing the instrumentor costs little.
if TYPE_CHECKING:
    from .installation import Installation
    from .snapshots.snapshot import Snapshot

_MAX_NAME = 64


class Settings(TypedDict, total=False):
    """Keyword arguments of ``instrument()``. ``Config`` documents them and their allowed values."""

    tracer_provider: TracerProvider | None
    meter_provider: MeterProvider | None
    scope: Literal["llm", "all"]
    hosts: Mapping[str, str] | None
    http_spans: bool
    metrics: Literal["lean", "full"]
    span_min_duration: float
    max_origins: int
    peak_window: float
    model_attributes: bool
    time_in_queue: bool
    leak_threshold: float
    calls: bool
    silence_threshold: float
    leak_stacks: bool
    loop_lag: bool
    peer_check_after: float
    findings: bool | None
    findings_interval: float
    snapshot_signal: str | None
    skip_dep_check: bool
    raise_exception_on_conflict: bool


class GlueLLMInstrumentor(BaseInstrumentor):  # type: ignore[misc]
    """Instrumentor for the HTTP connection pools under LLM calls.

    .. code-block:: python

        from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor

        GlueLLMInstrumentor().instrument()

    ``instrument()`` takes keyword arguments only: ``tracer_provider`` and ``meter_provider``
    (default: the global ones) and the settings of
    :class:`~opentelemetry.instrumentation.gluellm.config.Config`. It raises ValueError for a wrong
    value and TypeError for an unknown setting; nothing is then installed.
    """

    _installation: Installation | None = None
    _lock = threading.RLock()

    def instrument(self, **kwargs: Unpack[Settings]) -> None:
        """Start observing pools, including those that already exist.

        A second call has no effect. A setting that is not given comes from its environment
        variable, else from its default:

        - ``tracer_provider``, ``meter_provider``: OpenTelemetry providers (None: the global ones)
        - ``scope``: ``"llm"`` (default), the pools that carry LLM calls, or ``"all"``
        - ``hosts``: providers by host, for servers and gateways of your own (None)
        - ``http_spans``: also turn on OpenTelemetry's own HTTP and gRPC instrumentations (False)
        - ``metrics``: ``"lean"`` (default), or ``"full"`` with six more histograms
        - ``span_min_duration``: shortest wait or connection set-up that becomes a span (0.05 s)
        - ``max_origins``: most servers that metrics name (20)
        - ``peak_window``: how far back the ``peak`` gauges look (75 s)
        - ``model_attributes``: add model and operation to three histograms (False)
        - ``time_in_queue``: also emit ``http.client.request.time_in_queue`` (False)
        - ``leak_threshold``: time that a response may stay unread (60 s; 0: detect no leaks)
        - ``calls``: account for the time of each LLM call (True)
        - ``silence_threshold``: wait of a call that may count as silent (60 s)
        - ``leak_stacks``: record the whole stack of each call (False)
        - ``loop_lag``: measure how late event loops are (True)
        - ``peer_check_after``: silence after which connections are checked (10 s; 0: check none)
        - ``findings``: judge the process, and emit findings (None: unless threads are greenlets)
        - ``findings_interval``: time between two judgements (30 s; 1 to 300 s)
        - ``snapshot_signal``: name of a signal that logs a report, such as ``"SIGUSR2"`` (None)

        ``skip_dep_check`` and ``raise_exception_on_conflict`` go to ``BaseInstrumentor``. Raises
        ValueError for a wrong value and TypeError for an unknown setting.
        """
        # The base class checks and sets its state in two steps: keep other threads out.
        with GlueLLMInstrumentor._lock:
            super().instrument(**kwargs)

    def uninstrument(self, **kwargs: Any) -> None:
        """Stop observing, single clients included. Requests in flight are not affected."""
        with GlueLLMInstrumentor._lock:
            installation = GlueLLMInstrumentor._installation
            if installation is not None and installation.clients_only:
                self._uninstrument()
            else:
                super().uninstrument(**kwargs)

    def instrumentation_dependencies(self) -> Collection[str]:
        """Return no dependencies: each library is observed if it is installed."""
        return _instruments

    def _instrument(self, **kwargs: Any) -> None:
        from .config import Config
        from .installation import Installation

        tracer_provider = kwargs.pop("tracer_provider", None)
        meter_provider = kwargs.pop("meter_provider", None)
        _check_providers(tracer_provider, meter_provider)
        config = Config.read(**kwargs)
        cls = GlueLLMInstrumentor
        with cls._lock:
            installation = Installation(
                config,
                tracer_provider=tracer_provider,
                meter_provider=meter_provider,
                signal_must_work="snapshot_signal" in kwargs,
            )
            # Undo an installation by instrument_client(), whose pools keep their names, or by an
            # instance of a subclass, whose HTTP spans could not be turned off later.
            self._uninstrument()
            try:
                installation.install()
                cls._installation = installation
                _set_limits_of_environment()
            except BaseException:
                # Undo it here, since uninstrument() does nothing after a failed instrument(). A
                # signal handler may raise any BaseException.
                self._uninstrument()
                raise

    def _uninstrument(self, **_: Any) -> None:
        cls = GlueLLMInstrumentor
        with cls._lock:
            # Cleared only after the undo: if a signal handler raises in between, the next call
            # finishes the work.
            installation = cls._installation
            if installation is not None:
                installation.uninstall()
            if cls._installation is installation:
                cls._installation = None

    @classmethod
    def instrument_client(
        cls,
        client: Any,
        pool_name: str | None = None,
        *,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
    ) -> None:
        """Observe the pools of one client as ``pool_name``, whatever the scope is.

        ``client`` is a Client or AsyncClient of httpx or httpx2, a ClientSession of aiohttp, a
        client of boto3, a Session of requests, a PoolManager of urllib3, a gRPC channel, an SDK
        client that holds one of these, or a pool of these libraries. Without ``pool_name``, the
        pool gets the name that it would have with ``scope="all"``. Works with and without
        ``instrument()``; the two OpenTelemetry providers are used only if nothing is instrumented
        yet.

        Raises TypeError for any other client. Raises ValueError for a wrong provider and for a name
        that is empty, longer than 64 characters, not printable or a URL.
        """
        from .adapters.clients import own, pools_of_client
        from .config import Config
        from .installation import Installation
        from .pool.ledger import Owner

        if pool_name is not None and not _is_name(pool_name):
            # The message omits the value: a key or URL passed by mistake must not be logged.
            raise ValueError(
                f"pool_name is {_described(pool_name)}: allowed are 1 to {_MAX_NAME} printable "
                "characters that are not a URL"
            )
        _check_providers(tracer_provider, meter_provider)
        pools = pools_of_client(client)
        base = GlueLLMInstrumentor
        with base._lock:
            if base._installation is None:
                installation = Installation(
                    Config.read(),
                    tracer_provider=tracer_provider,
                    meter_provider=meter_provider,
                    clients_only=True,
                )
                installation.install()
                base._installation = installation
            for pool in pools:
                own(pool, Owner(pool_name or "", None))

    @classmethod
    def uninstrument_client(cls, client: Any) -> None:
        """Stop observing the pools of one client, even if they are in scope.

        Allowed for a client that is not observed. Raises TypeError for anything that is not a
        client (see :meth:`instrument_client`).
        """
        from .adapters.clients import any_owned, disown, pools_of_client

        base = GlueLLMInstrumentor
        with base._lock:
            for pool in pools_of_client(client):
                disown(pool)
            installation = base._installation
            if installation is not None and installation.clients_only and not any_owned():
                base._installation = None
                installation.uninstall()


def snapshot() -> Snapshot:
    """Return all live pools with their connections and requests, and all counts so far.

    Takes no lock and touches no socket, so any thread and any signal handler can call it. Raises
    RuntimeError if nothing is instrumented.
    """
    installation = GlueLLMInstrumentor._installation
    if installation is None:
        raise RuntimeError(
            "snapshot() needs an instrumented process: call GlueLLMInstrumentor().instrument() "
            "first"
        )
    return installation.snapshot()


def _set_limits_of_environment() -> None:
    """Apply the limits of the environment. ``limits`` is imported only if there are any."""
    if not limits_asked_for(os.environ):
        return
    try:
        from .limits import configure_from_environment

        configure_from_environment()
    except Exception as error:
        warn("Could not apply the limits from the environment: %s", where_it_failed(error))


@in_forked_child
def _renew_lock() -> None:
    GlueLLMInstrumentor._lock = threading.RLock()


def _check_providers(tracer_provider: object, meter_provider: object) -> None:
    for name, method, provider in (
        ("tracer_provider", "get_tracer", tracer_provider),
        ("meter_provider", "get_meter", meter_provider),
    ):
        if provider is None:
            continue
        if isinstance(provider, type) or not callable(getattr(provider, method, None)):
            raise ValueError(  # noqa: TRY004  as every wrong value
                f"{name} must be an OpenTelemetry provider instance or None, not "
                f"{_described(provider)}"
            )


def _is_name(name: object) -> bool:
    return (
        isinstance(name, str)
        and 0 < len(name) <= _MAX_NAME
        and one_line(name, _MAX_NAME) == name
        and "://" not in name
    )


def _described(given: object) -> str:
    if isinstance(given, str):
        return f"a text of {len(given)} characters"
    if isinstance(given, type):
        return f"the class {one_line(given.__qualname__)}"
    return f"an object of type {type(given).__name__}"
