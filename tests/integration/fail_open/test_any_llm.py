"""any-llm with missing or changed names that attribution and limits use."""

import asyncio
import functools
import importlib
import inspect
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor, failures, snapshot
from opentelemetry.instrumentation.gluellm.attribution.any_llm import LOST
from opentelemetry.instrumentation.gluellm.limits import configure_pools, reset_pools
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from studies.fail_open import runtime
from studies.fail_open.seen import Odd
from support.fake_llms import FakeLLMs
from support.installation import instrument
from support.listener import Listen
from support.network import Certificates
from support.telemetry import Telemetry

any_llm = pytest.importorskip("any_llm", reason="any-llm is an extra")
openai = pytest.importorskip("openai", reason="openai's SDK is an extra")

MESSAGES = [{"role": "user", "content": "hi"}]


@pytest.fixture
def provider(listen: Listen) -> str:
    """Base URL of a provider."""
    return listen(FakeLLMs).url("/v1")


@pytest.fixture(autouse=True)
def _off(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, certificates: Certificates
) -> Iterator[None]:
    monkeypatch.setattr(failures, "_warned", set())
    # Each client reads the CA certificates, which takes 50 ms for the default ones.
    certificates.authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    yield
    reset_pools()
    GlueLLMInstrumentor().uninstrument()


def results(base: str) -> list[str]:
    """Return the result types of several kinds of calls."""
    found = []

    def note(call: Callable[[], Any]) -> None:
        try:
            found.append(type(call()).__name__)
        except Exception as error:
            found.append(type(error).__name__)

    async def chat() -> Any:
        llm = any_llm.AnyLLM.create("openai", api_key="none", api_base=base)
        return await llm.acompletion(model="model-1", messages=MESSAGES)

    async def embed() -> Any:
        return await any_llm.aembedding(
            "model-1", "hi", provider="openai", api_key="none", api_base=base
        )

    note(lambda: asyncio.run(chat()))
    note(lambda: asyncio.run(embed()))
    note(
        lambda: any_llm.AnyLLM.create("openai", api_key="none", api_base=base).completion(
            model="model-1", messages=MESSAGES
        )
    )
    return found


def _raising(*_: Any, **__: Any) -> Any:
    raise RuntimeError("anew")


KINDS: dict[str, Callable[[Any], Any]] = {
    "takes anything": runtime.METHODS["takes anything"],
    "is a callable object": runtime.METHODS["is a callable object"],
    "raises": lambda _: _raising,
    "is None": lambda _: None,
    "is a property that raises": lambda _: property(_raising),
}
METHODS = (
    "__init__",
    "__init_subclass__",
    "acompletion",
    "aembedding",
    "_aembedding",
    "_amoderation",
    "_completion",
    "PROVIDER_NAME",
)


def _observed(base: str, *, limits: bool) -> tuple[list[str], set[str], int]:
    telemetry = Telemetry()
    if limits:
        configure_pools(max_connections=3, pool_timeout=5)
    instrument(telemetry, scope="llm")
    found = results(base)
    missing = [hook.partition(": ") for hook in snapshot().process.missing_hooks]
    off = {hook for library, _, hook in missing if library == "any_llm"}
    assert telemetry.value(semconv.HOOK_MISSING, hook_library="any_llm") == len(off)
    errors = len(telemetry.points(semconv.INSTRUMENTATION_ERRORS))
    GlueLLMInstrumentor().uninstrument()
    return found, off, errors


def _check(base: str, caplog: pytest.LogCaptureFixture, *, limits: bool) -> None:
    expected = results(base)
    with caplog.at_level(logging.WARNING):
        found, off, errors = _observed(base, limits=limits)
    reset_pools()
    assert found == expected
    logged = [r for r in caplog.records if "gluellm" in r.name]
    texts = [record.getMessage() for record in logged]
    assert len(texts) == len(set(texts))
    assert [record for record in logged if record.exc_info] == []
    assert off <= set(LOST)
    assert len(texts) <= len(off) + errors + (2 if limits else 0)
    assert results(base) == expected


@pytest.mark.parametrize(
    ("name", "how", "limits"),
    # Each name with two changes, once with limits for pools: all combinations take minutes.
    [
        (name, list(KINDS)[(at + more) % len(KINDS)], (at + more // 2) % 2 == 0)
        for at, name in enumerate(METHODS)
        for more in (0, 2)
    ],
)
def test_calls_succeed_with_a_changed_name_of_any_llm(
    name, how, limits, provider, monkeypatch, caplog
):
    """Results are the same as without the instrumentation. Each missing hook is logged once."""
    base = any_llm.AnyLLM
    value = KINDS[how](getattr(base, name, None))
    if name == "__init_subclass__" and callable(value):
        value = classmethod(lambda cls, **kwargs: None)
    monkeypatch.setattr(base, name, value, raising=False)
    _check(provider, caplog, limits=limits)


@pytest.mark.parametrize("value", [None, Odd(), lambda *_, **__: None, type("Anew", (), {})])
def test_each_missing_hook_of_any_llm_is_logged_once(value, provider, monkeypatch, caplog):
    """``any_llm.AnyLLM`` is not a class, or another one. Nothing is raised or logged twice."""
    monkeypatch.setattr(any_llm, "AnyLLM", value)
    with caplog.at_level(logging.WARNING):
        found, off, _ = _observed(provider, limits=False)
        _observed(provider, limits=False)
    assert len(found) == 3
    assert off
    texts = [r.getMessage() for r in caplog.records if "lacks the hook" in r.getMessage()]
    assert len([text for text in texts if "any_llm" in text]) == len(off)


def _without(parameter: str) -> Callable[[Any], Any]:
    def make(original: Any) -> Any:
        signature = inspect.signature(original)

        @functools.wraps(original)
        def changed(*args: Any, **kwargs: Any) -> Any:
            if parameter in kwargs:
                raise TypeError(f"unexpected keyword argument {parameter!r}")
            return original(*args, **kwargs)

        kept = [p for p in signature.parameters.values() if p.name != parameter]
        changed.__signature__ = signature.replace(parameters=kept)  # type: ignore[attr-defined]
        return changed

    return make


def test_a_limit_that_a_library_no_longer_supports_is_ignored(provider, monkeypatch, caplog):
    """The pool is built with the client's own limits, and one warning is logged."""
    newer = int(openai.__version__.partition(".")[0]) >= 3
    library = importlib.import_module("httpcore2" if newer else "httpcore")
    for name in ("AsyncConnectionPool", "ConnectionPool"):
        pool = getattr(library, name)
        monkeypatch.setattr(pool, "__init__", _without("keepalive_expiry")(pool.__init__))
    expected = results(provider)
    with caplog.at_level(logging.WARNING):
        configure_pools(keepalive_expiry=3)
        assert results(provider) == expected
    logged = [record for record in caplog.records if "gluellm" in record.name]
    assert [record.getMessage() for record in logged if "limits.constructor" in record.getMessage()]
    assert len(logged) == 1
