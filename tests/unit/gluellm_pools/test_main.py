"""Arguments of the command, and messages for wrong ones."""

import importlib.util

import pytest

from gluellm_pools import main as command
from gluellm_pools.demo import run

VERIFY = ("verify", "--prometheus", "http://h")
ACTS = ("healthy saturated slow churn leak http2-stuck blocked-loop failures recovery").split()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["demo", "--seconds", "1"], "a number of seconds from 6 to 3600"),
        (["demo", "--seconds", "1e9"], "'1e9' is not a"),
        (["demo", "--seconds", "nan"], "'nan' is not a"),
        (["demo", "--seconds", "soon"], "'soon' is not a"),
        (["demo", "--port", "70000"], "a port from 1 to 65533"),
        (["demo", "--all", "--list"], "not allowed with"),
        (["demo", "--port", "http"], "'http' is not a"),
        *((["watch", "--port", wrong], f"'{wrong}' is not a") for wrong in ("-1", "http", "70000")),
        (["watch", "--port", "\u0664\u0663\u0661\u0668"], "a port from 1 to 65535"),
        (["watch", "--seconds", "0"], "a number of seconds above 0, at most 2592000"),
        *((["watch", "--seconds", wrong], f"'{wrong}' is not a") for wrong in ("nan", "soon")),
        (["watch", "more"], "gluellm-pools watch: error: unknown argument 'more'"),
        (["doctor", "--pid", "1", "--timout=3"], "'--timout=3' (did you mean --timeout?)"),
        *(([*VERIFY, "--window", wrong], "is not a span") for wrong in ("3", "x")),
        ([*VERIFY, "--timeout", "nan"], "is not a number"),
        (["verify"], "required"),
        (["dotcor"], "unknown command 'dotcor' (did you mean doctor?)"),
    ],
)
def test_wrong_arguments_are_refused(arguments, said, capsys):
    """argparse's usage, with what was found and what is allowed; exit 2."""
    with pytest.raises(SystemExit) as stop:
        command.main(arguments)
    assert stop.value.code == 2
    assert said in capsys.readouterr().err


def test_help_is_printed_without_arguments(capsys):
    assert command.main([]) == 0
    assert "gluellm-pools doctor --pid 4242" in capsys.readouterr().out


def test_scenarios_are_listed_and_an_unknown_one_is_answered_with_them(capsys):
    """One act a paragraph, in the story's order; exit 2 for what is none."""
    assert command.main(["demo", "--scenario", "sunny"]) == 2
    error = capsys.readouterr().err
    assert "unknown act 'sunny'" in error
    assert ", ".join(ACTS) in error
    assert command.main(["demo", "--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines if not line.startswith(" ")] == ACTS
    assert max(map(len, lines)) <= 80


DEMO = ("rich", "any_llm", "openai", "anthropic", "h11", "h2", "opentelemetry.sdk")
WATCH = ("rich", "google.protobuf", "opentelemetry.proto")


@pytest.mark.parametrize(
    ("name", "extra", "module"),
    [*(("demo", "demo", module) for module in DEMO), *(("watch", "cli", m) for m in WATCH)],
)
def test_a_missing_extra_is_named(name, extra, module, monkeypatch, capsys):
    """What is missing, and the one command that brings it; exit 2."""
    find = importlib.util.find_spec

    def without(name: str, package: str | None = None):
        if name == module and "." in name:  # its parent is missing as well
            raise ModuleNotFoundError(name)
        return None if name == module else find(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", without)
    assert command.main([name]) == 2
    error = capsys.readouterr().err
    assert module in error
    assert f"pip install 'opentelemetry-instrumentation-gluellm[{extra}]'" in error


def test_the_exporter_is_needed_only_with_an_endpoint(monkeypatch, capsys):
    """OTLP is optional until it is asked for."""
    find = importlib.util.find_spec

    def without(name: str, package: str | None = None):
        if name.startswith("opentelemetry.exporter"):
            raise ModuleNotFoundError(name)
        return find(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", without)
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT", raising=False)
    monkeypatch.setattr(run, "run", lambda acts, port: 0)
    assert command.main(["demo"]) == 0
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318")
    assert command.main(["demo"]) == 2
