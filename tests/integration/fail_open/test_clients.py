"""Clients with unexpected internals: instrumenting them raises TypeError or works."""

import ast
import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor, adapters
from opentelemetry.instrumentation.gluellm.adapters.urllib3 import pools
from opentelemetry.instrumentation.gluellm.limits import scope
from studies.fail_open.seen import Odd


def _read() -> Iterator[str]:
    """Yield each name, private or public, that the package reads from clients."""
    for path in Path(adapters.__file__).parent.glob("*/clients.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute):
                yield node.attr
            elif isinstance(node, ast.Constant) and str(node.value).isidentifier():
                yield str(node.value)


NAMES = sorted(set(_read()))
VALUES: dict[str, Any] = {
    "None": None,
    "a number": 7,
    "text": "anew",
    "a list": [1],
    "a dict": {"anew": 1},
    "a class": dict,
    "a function": lambda *_: None,
    "an object that refuses everything": Odd(),
}


def _client(attributes: dict[str, Any]) -> Any:
    return type("Client", (), attributes)()


def _raising(error: type[BaseException]) -> property:
    def get(_: Any) -> Any:
        raise error("odd")

    return property(get)


@pytest.fixture(autouse=True)
def _off() -> Iterator[None]:
    yield
    GlueLLMInstrumentor().uninstrument()


@pytest.mark.parametrize("name", NAMES)
def test_client_with_an_unexpected_attribute_raises_type_error(name):
    """The message says that the client cannot be instrumented."""
    for value in VALUES.values():
        with pytest.raises(TypeError):
            GlueLLMInstrumentor.instrument_client(_client({name: value}))
    for error in (AttributeError, RuntimeError, ValueError):
        with pytest.raises(TypeError):
            GlueLLMInstrumentor.instrument_client(_client({name: _raising(error)}))


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
def test_client_with_only_unexpected_attributes_raises_type_error(value):
    """The client resembles clients of every library at once."""
    with pytest.raises(TypeError):
        GlueLLMInstrumentor.instrument_client(_client(dict.fromkeys(NAMES, value)))


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
def test_unknown_session_of_boto3_is_not_the_default_one(value, monkeypatch):
    """boto3's default session may have any type and attributes."""
    boto3 = type("Boto3", (), {"DEFAULT_SESSION": type("Session", (), {"_session": value})()})
    monkeypatch.setitem(sys.modules, "boto3", boto3)  # type: ignore[arg-type]
    assert not pools.is_shared(object())


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
def test_unexpected_options_of_a_provider_are_the_users(value, monkeypatch):
    """Options of a botocore Config and of huggingface_hub are passed on."""
    config = type("Config", (), {"_user_provided_options": value})()
    with contextlib.suppress(TypeError, RuntimeError):  # callers catch and count these
        assert isinstance(scope.limits_given({"config": config}), frozenset)
    module = type("Http", (), {"_GLOBAL_ASYNC_CLIENT_FACTORY": value})
    monkeypatch.setitem(sys.modules, "huggingface_hub.utils._http", module)  # type: ignore[arg-type]
    assert scope.client_is_users("huggingface") is (value is not None)


@pytest.mark.all_sdks
def test_botocore_without_a_name_loses_one_hook(monkeypatch, caplog):
    """Sessions and clients are built as usual."""
    sessions_of = pytest.importorskip("botocore.session", reason="bedrock's SDK is an extra")
    http = pytest.importorskip("botocore.httpsession", reason="bedrock's SDK is an extra")
    monkeypatch.delattr(http.URLLib3Session, "_get_proxy_manager")
    monkeypatch.setattr("opentelemetry.instrumentation.gluellm.failures._warned", set())
    GlueLLMInstrumentor().instrument(scope="all")
    session = sessions_of.Session()
    client = session.create_client(
        "bedrock-runtime",
        region_name="eu-central-1",
        aws_access_key_id="none",
        aws_secret_access_key="none",
    )
    assert client is not None
    logs = [record.getMessage() for record in caplog.records if "pool_owner" in record.getMessage()]
    assert len(logs) == 1
