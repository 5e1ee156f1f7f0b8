"""Fixtures for the tests of limits: a server that counts connections, and a reset of limits."""

import importlib.util
from collections.abc import Iterator

import pytest

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor
from opentelemetry.instrumentation.gluellm.environment import HTTPX_VARIABLES, LIMIT_VARIABLES
from opentelemetry.instrumentation.gluellm.failures import _warned
from opentelemetry.instrumentation.gluellm.limits import reset_pools
from support.counted_llms import CountedLLMs
from support.listener import Listen
from support.providers import ENVIRONMENT


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the variables that SDKs need, and remove those that set limits."""
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    for name in (*LIMIT_VARIABLES.values(), *HTTPX_VARIABLES.values()):
        monkeypatch.delenv(name, raising=False)
    # huggingface_hub would request this from its hub before the first call.
    if importlib.util.find_spec("huggingface_hub"):
        detect = importlib.import_module("huggingface_hub.utils._detect_agent")
        monkeypatch.setattr(detect, "_registry", {"standardEnvVars": [], "harnesses": {}})


@pytest.fixture(autouse=True)
def no_limits_left(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Reset limits before and after each test. Fail if the instrumentation logged a failure."""
    reset_pools()
    _warned.clear()
    yield
    if GlueLLMInstrumentor._installation is not None:
        GlueLLMInstrumentor().uninstrument()
    reset_pools()
    failures = [
        record.getMessage()
        for record in caplog.get_records("call")
        if "could not" in record.message or "not applied" in record.message
    ]
    assert not failures


@pytest.fixture
def llms(listen: Listen) -> CountedLLMs:
    """A server for all providers."""
    return listen(CountedLLMs)
