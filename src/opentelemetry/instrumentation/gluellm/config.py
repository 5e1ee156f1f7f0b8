"""Settings, read once from keyword arguments and environment variables.

A keyword argument overrides its environment variable, which overrides the default. A wrong keyword
argument raises, because it is a mistake in code. A wrong environment variable must not stop a
program from starting: it is logged once, and the default is used.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, Literal, TypeVar, cast

from .diagnosis.signal_report.signals import signal_number
from .environment import ENVIRONMENT_PREFIX, LIMIT_VARIABLES
from .failures import raise_on, warn
from .text import one_line

EXPORT_INTERVAL_VARIABLE = "OTEL_METRIC_EXPORT_INTERVAL"
"""The SDK's variable for its export interval in milliseconds."""

MAX_ORIGINS_BOUND = 200
"""Highest allowed ``max_origins``. A phase metric has six series per origin, and the SDK merges all
series of an instrument into one beyond 2 000 attribute sets."""

_LONGEST_VARIABLE = 80
_PEAK_WINDOW = 75.0
_INTERVALS_PER_PEAK_WINDOW = 1.25

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Rule:
    """Allowed values of a setting."""

    allowed: str
    """Description of the allowed values, for error messages and the configuration reference."""
    accepts: Callable[[object], bool]
    """Check of a value from code: True if it is allowed."""
    parse: Callable[[str], object]
    """Conversion of an environment variable's text to a value. Raises ValueError if it can't."""


def _one_of(*values: str) -> Rule:
    def parse(text: str) -> object:
        return text.lower()

    return Rule(" or ".join(f'"{value}"' for value in values), values.__contains__, parse)


def _boolean() -> Rule:
    words = {"true": True, "1": True, "false": False, "0": False}

    def parse(text: str) -> object:
        try:
            return words[text.lower()]
        except KeyError:
            raise ValueError(text) from None

    return Rule(
        "True or False (true, false, 1 or 0 in the environment)",
        lambda value: isinstance(value, bool),
        parse,
    )


def _seconds(*, zero: bool) -> Rule:
    def accepts(value: object) -> bool:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return False
        try:
            finite = math.isfinite(value)
        except OverflowError:  # an int that is too large for a float
            return False
        return finite and (value >= 0 if zero else value > 0)

    return Rule(
        "a finite number of at least 0" if zero else "a finite number above 0", accepts, float
    )


def _leak_threshold() -> Rule:
    any_number = _seconds(zero=True)

    def accepts(value: object) -> bool:
        return any_number.accepts(value) and (value == 0 or float(cast("float", value)) >= 2)

    return Rule(
        "a finite number of at least 2, since an application may do other work between two reads, "
        "or 0 to look for no leaks",
        accepts,
        float,
    )


def _name_or_none() -> Rule:
    return Rule(
        'None, "SIGUSR1", "SIGUSR2", or a real-time signal such as "SIGRTMIN+1"',
        # SignalReporter.install() checks the name and explains why a signal is not allowed.
        lambda value: value is None or (isinstance(value, str) and bool(value)),
        _usable_signal,
    )


def _usable_signal(text: str) -> str:
    signal_number(text)
    return text


def _whole_number(low: int, high: int) -> Rule:
    def accepts(value: object) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high

    return Rule(f"a whole number from {low} to {high}", accepts, int)


def _setting(default: _T, rule: Rule, description: str, unit: str = "") -> _T:
    metadata = {"rule": rule, "description": description, "unit": unit}
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The settings of ``GlueLLMInstrumentor().instrument()``. ``Config.read`` checks them."""

    scope: Literal["any_llm", "all"] = _setting(
        "any_llm",
        _one_of("any_llm", "all"),
        "Which pools are observed: those built inside or used by an any-llm call, or every pool of "
        "httpx, httpx2, aiohttp, urllib3 and gRPC in the process. Pools that OpenTelemetry exports "
        "through are never observed.",
    )
    http_spans: bool = _setting(
        False,
        _boolean(),
        "Also turn on OpenTelemetry's own instrumentation of httpx and httpx2 and, where they are "
        "installed, those of aiohttp, urllib3 and gRPC, in the whole process. Their spans carry "
        "whole URLs, and they send trace context and baggage to the provider.",
    )
    metrics: Literal["lean", "full"] = _setting(
        "lean",
        _one_of("lean", "full"),
        "`full` adds five histograms and the attribute `gluellm.response.streaming`.",
    )
    span_min_duration: float = _setting(
        0.05,
        _seconds(zero=True),
        "A wait or a connection set-up that took at least this long becomes a span; one that "
        "failed always does. 0 makes a span of each.",
        "s",
    )
    max_origins: int = _setting(
        20,
        _whole_number(1, MAX_ORIGINS_BOUND),
        "Distinct `server.address` and `server.port` pairs on metrics, per process. Beyond it the "
        "address is `_OTHER` and the port is left out.",
        "origins",
    )
    peak_window: float = _setting(
        _PEAK_WINDOW,
        _seconds(zero=False),
        "How far back the `peak` gauges look. Less than the time between two collections loses "
        "peaks, so the default grows to 1.25 times `OTEL_METRIC_EXPORT_INTERVAL` where that is "
        "more.",
        "s",
    )
    model_attributes: bool = _setting(
        False,
        _boolean(),
        "Put `gen_ai.request.model` and `gen_ai.operation.name` on the acquire and lease "
        "histograms too, which multiplies their series.",
    )
    time_in_queue: bool = _setting(
        False,
        _boolean(),
        "Also emit `http.client.request.time_in_queue`, which counts as .NET does: only requests "
        "that had to wait.",
    )

    leak_threshold: float = _setting(
        60.0,
        _leak_threshold(),
        "A response that nobody has read for this long is a suspected leak of its connection. A "
        "read that waits for bytes is none, however long. 0 looks for no leaks; less than 2 is "
        "refused, since an application may do other work between two reads.",
        "s",
    )
    leak_stacks: bool = _setting(
        False,
        _boolean(),
        "Note the whole stack of each call, not just the line of the application that made it, "
        "and put it into leak warnings. Costs some ten microseconds a call.",
    )
    loop_lag: bool = _setting(
        True,
        _boolean(),
        "Run a timer on event loops while requests are under way in them, to tell a blocked loop "
        "from a slow pool or provider.",
    )
    snapshot_signal: str | None = _setting(
        None,
        _name_or_none(),
        "Name of a signal, `SIGUSR2` for instance, on which the process writes a snapshot of its "
        "pools and the findings to the log, and that `gluellm-pools doctor --pid` sends. Off by "
        "default.",
    )

    @classmethod
    def read(cls, **arguments: object) -> Config:
        """Read the settings from keyword arguments, else the environment, else the defaults.

        Raises ValueError for a value that is not allowed and TypeError for an unknown setting.
        Environment variables with a wrong value or of an unknown setting don't raise: each is
        logged once as a warning.
        """
        settings = {setting.name: setting for setting in SETTINGS}
        unknown = sorted(arguments.keys() - settings.keys())
        if unknown:
            raise TypeError(
                f"unknown setting {', '.join(map(repr, unknown))}; known are {', '.join(settings)}"
            )
        values: dict[str, object] = {"peak_window": _default_peak_window(os.environ)}
        for name, setting in settings.items():
            if name in arguments:
                value = arguments[name]
                if not setting.rule.accepts(value):
                    found = one_line(_written(value), _LONGEST_VARIABLE)
                    raise ValueError(f"{name}={found}: allowed is {setting.rule.allowed}")
                values[name] = value
            else:
                setting.read_environment(os.environ, values)
        known = {setting.variable for setting in SETTINGS} | {*LIMIT_VARIABLES.values()}
        _warn_of_unknown_variables(os.environ, known)
        return cls(**cast("dict[str, Any]", values))


@dataclass(frozen=True, slots=True)
class Setting:
    """A field of Config with its documentation and its rule."""

    name: str
    default: object
    description: str
    unit: str
    """``s``, a plural noun, or empty if the value has no unit."""
    rule: Rule

    @property
    def variable(self) -> str:
        """Name of the environment variable."""
        return ENVIRONMENT_PREFIX + self.name.upper()

    def read_environment(self, environment: Mapping[str, str], values: dict[str, object]) -> None:
        """Store the environment's value in ``values`` if it is set and allowed.

        An empty variable counts as unset, as the OpenTelemetry specification requires.
        """
        text = environment.get(self.variable, "").strip()
        if not text:
            return
        try:
            value = self.rule.parse(text)
            usable = self.rule.accepts(value)
        except ValueError:
            usable = False
        if usable:
            values[self.name] = value
        else:
            _warn_once(self.variable, text, self.rule.allowed, values.get(self.name, self.default))


def _settings() -> tuple[Setting, ...]:
    found = []
    for entry in fields(Config):
        assert entry.default is not MISSING
        metadata = entry.metadata
        found.append(
            Setting(
                entry.name,
                entry.default,
                metadata["description"],
                metadata["unit"],
                metadata["rule"],
            )
        )
    return tuple(found)


SETTINGS = _settings()
"""All settings, in the order of Config's fields."""


def _written(value: object) -> str:
    try:
        return repr(value)
    except Exception as error:
        # repr() raises ValueError for an int with thousands of digits; a foreign __repr__ may fail.
        raise_on(error)
        return f"something of the type {type(value).__name__}"


_warned: set[tuple[str, str]] = set()


def _warn_once(variable: str, text: str, allowed: str, default: object) -> None:
    if (variable, text) not in _warned:
        _warned.add((variable, text))
        found = one_line(repr(text), _LONGEST_VARIABLE)
        warn("%s=%s: allowed is %s; using %r", variable, found, allowed, default)


def _warn_of_unknown_variables(environment: Mapping[str, str], known: set[str]) -> None:
    """Warn of variables with this package's prefix that set nothing, for example misspelt ones."""
    for variable in environment:
        if not variable.startswith(ENVIRONMENT_PREFIX) or variable in known:
            continue
        if (variable, "") not in _warned:
            _warned.add((variable, ""))
            warn(
                "%s sets nothing: there is no such setting; known are %s",
                one_line(variable, _LONGEST_VARIABLE),
                ", ".join(sorted(known)),
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
