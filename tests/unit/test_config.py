"""The settings: their sources, and the effects of wrong values."""

import logging
from dataclasses import FrozenInstanceError

import pytest

from opentelemetry.instrumentation.gluellm import config, failures
from opentelemetry.instrumentation.gluellm.config import SETTINGS, Config
from opentelemetry.instrumentation.gluellm.instrumentor import GlueLLMInstrumentor, Settings

LOGGER = "opentelemetry.instrumentation.gluellm"

INFINITE, NAN = float("inf"), float("nan")
WRONG_VALUES = {
    ("scope", '"llm" or "all"'): ("everything", "any_llm", None),
    ("hosts", "mapping of hosts"): ("llm.test=openai", ["llm.test"]),
    ("hosts", '"10.1.2.3:8000": "vllm"'): (
        {"https://llm.test": "openai"},
        {"llm.test/v1": "openai"},
        {"me@llm.test": "openai"},
        {"llm.test:http": "openai"},
        {"*.*.test": "openai"},
        {"": "openai"},
        {7: "openai"},
        {"llm.test": ""},
        {"llm.test": " "},
        {"llm.test": "open\nai"},
        {"llm.test": None},
    ),
    ("http_spans", "True or False"): ("true", 1),
    ("metrics", '"lean" or "full"'): ("FULL",),
    ("span_min_duration", "at least 0"): (-0.1, NAN, INFINITE, "0.1", True),
    ("max_origins", "from 1 to 200"): (0, 201, 2.0, True),
    ("peak_window", "above 0"): (0,),
    ("model_attributes", "True or False"): (None,),
    ("time_in_queue", "True or False"): ("0",),
    ("leak_threshold", "at least 2"): (1.9,),
    ("leak_threshold", "or 0"): (-1,),
    ("leak_threshold", "a finite number"): (INFINITE, "60", None),
    ("calls", "True or False"): (1,),
    ("silence_threshold", "above 0"): (0, INFINITE),
    ("leak_stacks", "True or False"): (1,),
    ("loop_lag", "True or False"): (None,),
    ("peer_check_after", "at least 1, or 0"): (0.5, -1, NAN, "30", True),
    ("findings", "True, False or None"): (1, "true"),
    ("findings_interval", "from 1 to 300"): (0.9, 301, NAN, "30", True),
    ("snapshot_signal", "a real-time signal"): ("", 12),
}

ENVIRONMENT_VALUES: dict[str, dict[str, object]] = {
    "SCOPE": {"all": "all", " ALL ": "all"},
    "HOSTS": {
        "llm.test=openai, 10.1.2.3:8000 = vllm ,": {"llm.test": "openai", "10.1.2.3:8000": "vllm"},
        "*.llm.test=mistral,[::1]:8000=vllm": {"*.llm.test": "mistral", "[::1]:8000": "vllm"},
    },
    "HTTP_SPANS": {"true": True, "True": True, "1": True, "false": False, "0": False},
    "METRICS": {"full": "full"},
    "SPAN_MIN_DURATION": {"0": 0.0, "1.5": 1.5},
    "MAX_ORIGINS": {"7": 7},
    "PEAK_WINDOW": {"10": 10.0},
    "MODEL_ATTRIBUTES": {"1": True},
    "TIME_IN_QUEUE": {"true": True},
    "LEAK_THRESHOLD": {"0": 0.0, "2": 2.0},
    "CALLS": {"false": False},
    "FINDINGS": {"false": False, "1": True},
    "FINDINGS_INTERVAL": {"5": 5.0},
    "SILENCE_THRESHOLD": {"5": 5.0},
    "LEAK_STACKS": {"true": True},
    "LOOP_LAG": {"false": False},
    "PEER_CHECK_AFTER": {"0": 0.0, "45": 45.0},
    "SNAPSHOT_SIGNAL": {"SIGUSR2": "SIGUSR2"},
}

WRONG_ENVIRONMENT = [
    *(("SCOPE", "pools"), ("HTTP_SPANS", "yes"), ("METRICS", "some"), ("PEAK_WINDOW", "-1")),
    *(("SPAN_MIN_DURATION", "50ms"), ("SPAN_MIN_DURATION", "nan")),
    *(("MAX_ORIGINS", "1.5"), ("MAX_ORIGINS", "1000")),
    ("PEER_CHECK_AFTER", "0.1"),
    *(("LEAK_THRESHOLD", "1"), ("LEAK_THRESHOLD", "a minute")),
]


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for setting in SETTINGS:
        monkeypatch.delenv(setting.variable, raising=False)
    monkeypatch.delenv(config.EXPORT_INTERVAL_VARIABLE, raising=False)
    monkeypatch.setattr(failures, "_warned", set())


DEFAULTS = {
    "scope": "llm",
    "hosts": None,
    "http_spans": False,
    "metrics": "lean",
    "span_min_duration": 0.05,
    "max_origins": 20,
    "peak_window": 75.0,
    "model_attributes": False,
    "time_in_queue": False,
    "leak_threshold": 60.0,
    "calls": True,
    "silence_threshold": 60.0,
    "leak_stacks": False,
    "loop_lag": True,
    "peer_check_after": 10.0,
    "findings": None,
    "findings_interval": 30.0,
    "snapshot_signal": None,
}


def test_defaults_are_the_documented_ones_and_allowed():
    """Type checkers know all settings; a Config is read once and immutable."""
    assert Config.read() == Config() == Config(**DEFAULTS)
    for setting in SETTINGS:
        assert setting.rule.allowed
        assert setting.rule.accepts(setting.default)
    passed_on = "tracer_provider meter_provider skip_dep_check raise_exception_on_conflict"
    names = {setting.name for setting in SETTINGS}
    assert Settings.__annotations__.keys() - set(passed_on.split()) == names == DEFAULTS.keys()
    shown = GlueLLMInstrumentor.instrument.__doc__ or ""
    assert all(f"``{name}``" in shown for name in Settings.__annotations__)
    assert {suffix.lower() for suffix in ENVIRONMENT_VALUES} == names
    with pytest.raises(FrozenInstanceError):
        Config().scope = "all"


@pytest.mark.parametrize(
    ("name", "allowed", "value"),
    [(*key, value) for key, values in WRONG_VALUES.items() for value in values],
)
def test_wrong_argument_names_setting_value_and_what_is_allowed(name, value, allowed):
    """The message of the ValueError is enough to correct the call."""
    with pytest.raises(ValueError) as raised:
        Config.read(**{name: value})
    assert str(raised.value).startswith(f"{name}={value!r}")
    assert allowed in str(raised.value)


def test_number_that_is_too_large_for_a_float_is_named():
    """An int can have more digits than a float."""
    for name in ("span_min_duration", "peak_window", "leak_threshold", "max_origins", "scope"):
        with pytest.raises(ValueError, match=f"^{name}=.*: allowed is "):
            Config.read(**{name: 10**400})


def test_unknown_argument_names_it_and_the_known_ones():
    """A misspelled setting is not ignored."""
    with pytest.raises(TypeError, match=r"'span_min_duratoin'.*span_min_duration") as raised:
        Config.read(span_min_duratoin=1)
    assert all(setting.name in str(raised.value) for setting in SETTINGS)


@pytest.mark.parametrize("suffix", ENVIRONMENT_VALUES)
def test_environment_variable_sets_its_setting(monkeypatch, suffix):
    """Each setting has a variable, with the types that text can hold."""
    for text, value in ENVIRONMENT_VALUES[suffix].items():
        monkeypatch.setenv(f"OTEL_PYTHON_GLUELLM_{suffix}", text)
        found = getattr(Config.read(), suffix.lower())
        assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize("text", ["7", "many"])
def test_argument_wins_over_environment(monkeypatch, caplog, text):
    """An unused variable causes no warning; an empty one counts as unset."""
    monkeypatch.setenv("OTEL_PYTHON_GLUELLM_MAX_ORIGINS", text)
    monkeypatch.setenv("OTEL_PYTHON_GLUELLM_SCOPE", " ")
    read = Config.read(max_origins=8)
    assert (read.max_origins, read.scope) == (8, "llm")
    assert not caplog.records


@pytest.mark.parametrize(("suffix", "text"), WRONG_ENVIRONMENT)
def test_wrong_environment_variable_is_logged_once_and_the_default_holds(
    monkeypatch, caplog, suffix, text
):
    """A deployment's typo costs a warning, not the program."""
    variable = f"OTEL_PYTHON_GLUELLM_{suffix}"
    monkeypatch.setenv(variable, text)
    with caplog.at_level(logging.WARNING, LOGGER):
        assert Config.read() == Config()
        assert Config.read() == Config()
    (record,) = caplog.records
    assert record.name == LOGGER
    assert record.levelno == logging.WARNING
    message = record.getMessage()
    assert message.startswith(f"{variable}={text!r}: allowed is ")
    assert repr(getattr(Config(), suffix.lower())) in message


def test_wrong_host_in_the_environment_is_named_once_and_the_others_hold(monkeypatch, caplog):
    """One typo does not discard the list. A URL's credentials, path and query stay private."""
    entries = "a.test=openai,https://key:secret@b.test:80/v1?key=1=openai,c.test,d.test="
    monkeypatch.setenv("OTEL_PYTHON_GLUELLM_HOSTS", entries)
    with caplog.at_level(logging.WARNING, LOGGER):
        assert Config.read().hosts == Config.read().hosts == {"a.test": "openai"}
    named = [record.getMessage() for record in caplog.records]
    assert len(named) == 3
    for message, shown in zip(named, ("https://b.test:80", "c.test", "d.test"), strict=True):
        start = f"OTEL_PYTHON_GLUELLM_HOSTS: the entry of {shown!r} is ignored: allowed is "
        assert message.startswith(start)


def test_misspelt_environment_variable_is_named_once_with_the_known_ones(monkeypatch, caplog):
    """It would otherwise be ignored silently."""
    monkeypatch.setenv("OTEL_PYTHON_GLUELLM_LEAK_TRESHOLD", "5")
    Config.read()
    Config.read()
    [record] = caplog.records
    assert "OTEL_PYTHON_GLUELLM_LEAK_TRESHOLD is ignored" in record.getMessage()
    assert "OTEL_PYTHON_GLUELLM_LEAK_THRESHOLD" in record.getMessage()


@pytest.mark.parametrize(
    ("milliseconds", "seconds"),
    [("1000", 75.0), ("60000", 75.0), ("120000", 150.0), ("inf", 75.0), ("often", 75.0)],
)
def test_peak_window_spans_a_collection(monkeypatch, milliseconds, seconds):
    """The default covers 1.25 export intervals, so that no peak falls between two of them."""
    monkeypatch.setenv("OTEL_METRIC_EXPORT_INTERVAL", milliseconds)
    assert Config.read().peak_window == seconds
    assert Config.read(peak_window=5.0).peak_window == 5.0
