"""Settings, read once from keyword arguments and environment variables.

A keyword argument overrides its environment variable, which overrides the default. A wrong keyword
argument raises, because it is a mistake in code. A wrong environment variable must not stop a
program from starting: it is logged once, and the default is used.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, TypeVar, cast
from urllib.parse import urlsplit

from .allowed import BOOLEAN, BOOLEAN_OR_NONE, ValueRule, number, one_of, whole_number
from .environment import ENVIRONMENT_PREFIX, LIMIT_VARIABLES
from .failures import warn_once
from .pool.ledger import is_host
from .snapshots.on_signal.signals import signal_number
from .text import one_line
from .thresholds import CALL_SILENT_AFTER, JUDGEMENT_AT_LEAST_EVERY, JUDGEMENT_INTERVAL

EXPORT_INTERVAL_VARIABLE = "OTEL_METRIC_EXPORT_INTERVAL"
"""The SDK's variable for its export interval in milliseconds."""

MAX_ORIGINS_BOUND = 200
"""Highest allowed ``max_origins``. A phase metric has six series per origin, and the SDK merges all
series of an instrument into one beyond 2 000 attribute sets."""

_LONGEST_VARIABLE = 80
_LONGEST_PROVIDER = 64
_PEAK_WINDOW = 75.0
_INTERVALS_PER_PEAK_WINDOW = 1.25

_T = TypeVar("_T")
_NOT_NEGATIVE = number("a finite number of at least 0", lambda value: value >= 0)
_POSITIVE = number("a finite number above 0", lambda value: value > 0)


def _signal_name(text: str) -> str:
    signal_number(text)
    return text


def split_host(text: str) -> tuple[str, int | None]:
    """Return host and port of ``host`` or ``host:port``, in lower case. Raises ValueError."""
    parts = urlsplit(f"//{text}")
    name = parts.hostname or ""
    if parts.netloc != text or "@" in text or not is_host(name.removeprefix("*.")):
        raise ValueError(text)
    return name, parts.port


_PRIVATE = re.compile(r"[^/]*@|[?#].*|(?<=[^:/])/.*")
"""What is no scheme, host or port in a URL."""


def _names_provider(host: object, provider: object) -> bool:
    try:
        split_host(cast("str", host))
    except (AttributeError, TypeError, ValueError):
        return False
    named = isinstance(provider, str) and provider.isprintable() and provider.strip()
    return bool(named) and len(cast("str", provider)) <= _LONGEST_PROVIDER


def _hosts_in(text: str) -> object:
    hosts = {}
    for entry in filter(str.strip, text.split(",")):
        host, _, provider = map(str.strip, entry.partition("="))
        if _names_provider(host, provider):
            hosts[host] = provider
        else:
            # Credentials, paths and queries stay private.
            public = one_line(repr(_PRIVATE.sub("", host)), _LONGEST_VARIABLE)
            warn_once(
                f"{ENVIRONMENT_PREFIX}HOSTS: the entry of {public} is ignored: allowed is "
                "host=provider, the host without scheme and path"
            )
    return hosts


def _setting(default: _T, rule: ValueRule, unit: str = "") -> _T:
    return field(default=default, metadata={"rule": rule, "unit": unit})


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The settings of ``GlueLLMInstrumentor().instrument()``. ``Config.read`` checks them.

    docs/settings.md is made of the docstrings.
    """

    scope: Literal["llm", "all"] = _setting("llm", one_of("llm", "all"))
    """Which pools are observed: those that carry requests to LLMs, from the first one on, or every
    pool of httpx, httpx2, aiohttp, urllib3 and gRPC in the process. A request counts as one to an
    LLM if it belongs to a call, calls a model at a known provider's host, goes to one of `hosts`,
    or is sent inside a GenAI span. Pools that OpenTelemetry exports through are never observed."""
    hosts: Mapping[str, str] | None = _setting(
        None,
        ValueRule(
            'None or a mapping of hosts to providers, such as {"llm.corp.example": "openai", '
            '"*.corp.example": "mistral", "10.1.2.3:8000": "vllm"}',
            lambda value: (
                value is None
                or (isinstance(value, Mapping) and all(map(_names_provider, value, value.values())))
            ),
            _hosts_in,
        ),
    )
    """Providers of further hosts, such as gateways and servers of your own. A host is exact or `*.`
    and a domain, optionally with a port. A POST to it outside the calls of SDKs counts as a call,
    with the source `http`. In the environment: `llm.corp.example=openai,10.1.2.3:8000=vllm`."""
    http_spans: bool = _setting(False, BOOLEAN)
    """Also turn on OpenTelemetry's own instrumentations of httpx and httpx2 and, if they are
    installed, those of aiohttp, urllib3 and gRPC, in the whole process. Their spans contain whole
    URLs, and they send trace context and baggage to the provider."""
    metrics: Literal["lean", "full"] = _setting("lean", one_of("lean", "full"))
    """`full` adds six histograms and the attribute `gluellm.response.streaming`."""
    span_min_duration: float = _setting(0.05, _NOT_NEGATIVE, "s")
    """A connection set-up or a wait for a connection gets a span if it takes at least this long; a
    call, if it spends this long outside its requests. Failed waits and set-ups, and calls with
    retries, always get one. With 0, all get one."""
    max_origins: int = _setting(20, whole_number(1, MAX_ORIGINS_BOUND), "origins")
    """Largest number of pairs of `server.address` and `server.port` on metrics, per process.
    Further origins have the address `_OTHER` and no port."""
    peak_window: float = _setting(_PEAK_WINDOW, _POSITIVE, "s")
    """Window of the `peak` gauges. If it is shorter than the time between two collections, peaks
    are lost. The default is therefore 75 s or 1.25 times `OTEL_METRIC_EXPORT_INTERVAL`, whichever
    is longer."""
    model_attributes: bool = _setting(False, BOOLEAN)
    """Add `gen_ai.request.model` to the acquire, lease and call histograms, and
    `gen_ai.operation.name` to the first two. This multiplies their series."""
    time_in_queue: bool = _setting(False, BOOLEAN)
    """Also emit `http.client.request.time_in_queue`."""

    leak_threshold: float = _setting(
        60.0,
        number(
            "a finite number of at least 2, or 0 to detect no leaks",
            lambda value: value == 0 or value >= 2,
        ),
        "s",
    )
    """Time that a response may stay unread before its connection is a suspected leak. A read that
    waits for bytes never counts as unread. Values between 0 and 2 are not allowed, since an
    application may do other work between two reads."""
    calls: bool = _setting(True, BOOLEAN)
    """Measure the stages of each LLM call, including the time outside its requests. Without it,
    there are no `gluellm.call` metrics and spans, and GlueLLM's rate limiter is not observed."""
    silence_threshold: float = _setting(CALL_SILENT_AFTER, _POSITIVE, "s")
    """Shortest wait for an answer, or for the next item of a stream, after which a call can count
    in `gluellm.call.silent`. It must also exceed three times the longest recent wait of such
    calls."""
    leak_stacks: bool = _setting(False, BOOLEAN)
    """Record the whole stack of each call, not only the application's line that made it, and add it
    to leak warnings. Costs about ten microseconds per call."""
    loop_lag: bool = _setting(True, BOOLEAN)
    """Run a timer on event loops while they have requests in flight, to distinguish a blocked loop
    from a slow pool or provider."""
    peer_check_after: float = _setting(
        10.0,
        number(
            "a finite number of at least 1, or 0 to check none",
            lambda value: value == 0 or value >= 1,
        ),
        "s",
    )
    """Time that a request waits for bytes before its connection is checked: is the other end gone,
    or is the request still being sent? Once a second, the ten longest waits of each pool are
    checked. Linux only."""
    findings: bool | None = _setting(None, BOOLEAN_OR_NONE)
    """Judge the process every `findings_interval`, and emit its findings as metrics and in the log.
    Off by default under gevent and eventlet, where a judgement would block the program for some
    milliseconds."""
    findings_interval: float = _setting(
        JUDGEMENT_INTERVAL,
        number(
            f"a number from 1 to {JUDGEMENT_AT_LEAST_EVERY:g}",
            lambda value: 1 <= value <= JUDGEMENT_AT_LEAST_EVERY,
        ),
        "s",
    )
    """Time between two judgements while requests are in flight. It becomes longer, up to 5 minutes,
    where judgements would use more than 0.1 % of a CPU (1 % for an interval below 10 s)."""
    snapshot_signal: str | None = _setting(
        None,
        ValueRule(
            'None, "SIGUSR1", "SIGUSR2", or a real-time signal such as "SIGRTMIN+1"',
            # SignalReporter.install() checks the name and explains why a signal is not allowed.
            lambda value: value is None or (isinstance(value, str) and bool(value)),
            _signal_name,
        ),
    )
    """Name of a signal, such as `SIGUSR2`, on which the process logs a snapshot of its pools
    and its active findings. `gluellm-pools doctor --pid` sends it."""

    @classmethod
    def read(cls, **arguments: object) -> Config:
        """Read the settings from keyword arguments, else the environment, else the defaults.

        Raises ValueError for a value that is not allowed and TypeError for an unknown setting.
        Environment variables with a wrong value or of an unknown setting don't raise: each is
        logged once as a warning.
        """
        names = [setting.name for setting in SETTINGS]
        unknown = sorted(arguments.keys() - set(names))
        if unknown:
            raise TypeError(
                f"unknown setting {', '.join(map(repr, unknown))}; known are {', '.join(names)}"
            )
        values: dict[str, object] = {"peak_window": _default_peak_window(os.environ)}
        for setting in SETTINGS:
            name, rule = setting.name, setting.rule
            if name in arguments:
                value = arguments[name]
                if not rule.accepts(value):
                    found = one_line(repr(value), _LONGEST_VARIABLE)
                    raise ValueError(f"{name}={found}: allowed is {rule.allowed}")
                values[name] = value
            # An empty variable counts as unset, as the OpenTelemetry specification requires.
            elif text := os.environ.get(setting.variable, "").strip():
                try:
                    values[name] = rule.parsed(text)
                except ValueError:
                    warn_once(
                        f"{setting.variable}={one_line(repr(text), _LONGEST_VARIABLE)}: "
                        f"allowed is {rule.allowed}; using {values.get(name, setting.default)!r}"
                    )
        _warn_of_unknown_variables()
        return cls(**cast("dict[str, Any]", values))


@dataclass(frozen=True, slots=True)
class Setting:
    """A field of Config with its rule."""

    name: str
    default: object
    rule: ValueRule
    unit: str
    """``s``, a plural noun, or empty if the value has no unit."""

    @property
    def variable(self) -> str:
        """Name of the environment variable."""
        return ENVIRONMENT_PREFIX + self.name.upper()


SETTINGS = tuple(Setting(entry.name, entry.default, **entry.metadata) for entry in fields(Config))
"""All settings, in the order of Config's fields."""


def _warn_of_unknown_variables() -> None:
    """Warn of variables with this package's prefix that set nothing, for example misspelt ones."""
    known = {setting.variable for setting in SETTINGS} | {*LIMIT_VARIABLES.values()}
    for variable in os.environ:
        if variable.startswith(ENVIRONMENT_PREFIX) and variable not in known:
            warn_once(
                f"{one_line(variable, _LONGEST_VARIABLE)} is ignored: there is no such setting; "
                f"known are {', '.join(sorted(known))}"
            )


def _default_peak_window(environment: Mapping[str, str]) -> float:
    try:
        interval = float(environment.get(EXPORT_INTERVAL_VARIABLE, "")) / 1000
    except ValueError:
        return _PEAK_WINDOW  # unset, or wrong: the SDK warns of its own variable
    # With an infinite interval the reader never collects by itself.
    if not math.isfinite(interval):
        return _PEAK_WINDOW
    return max(_PEAK_WINDOW, _INTERVALS_PER_PEAK_WINDOW * interval)
