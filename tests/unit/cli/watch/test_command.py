"""The arguments of ``watch``: what is refused, and how it is said."""

import importlib.util

import pytest

from opentelemetry.instrumentation.gluellm.cli import main as command


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--port", "70000"], "a port from 1 to 65535"),
        (["--port", "-1"], "found '-1'"),
        (["--port", "http"], "found 'http'"),
        (["--port", "٤٣١٨"], "a port from"),
        (["--seconds", "0"], "a number of seconds"),
        (["--seconds", "nan"], "found 'nan'"),
        (["--seconds", "soon"], "found 'soon'"),
        (["more"], "unrecognized arguments"),
    ],
)
def test_wrong_arguments_are_refused(arguments, said, capsys):
    """argparse's usage, with what was found and what is allowed; exit 2."""
    with pytest.raises(SystemExit) as stop:
        command.main(["watch", *arguments])
    assert stop.value.code == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    "module", ["rich", "h11", "google.protobuf", "google.rpc", "opentelemetry.proto"]
)
def test_a_missing_extra_is_named(module, monkeypatch, capsys):
    """What is missing, and the one command that brings it; exit 2."""
    find = importlib.util.find_spec

    def without(name: str, package: str | None = None):
        if name == module:
            raise ModuleNotFoundError(name)
        return find(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", without)
    assert command.main(["watch"]) == 2
    error = capsys.readouterr().err
    assert module in error
    assert "pip install 'opentelemetry-instrumentation-gluellm[cli]'" in error
