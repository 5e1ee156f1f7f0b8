"""Hooks of SDKs that Stainless generates, on a fake SDK: degrading, and what is a call."""

from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from opentelemetry.instrumentation.gluellm.attribution import sdk
from opentelemetry.instrumentation.gluellm.attribution.context import current_call
from opentelemetry.instrumentation.gluellm.attribution.hosts import Naming, operation_of
from opentelemetry.instrumentation.gluellm.attribution.stainless import StainlessCalls
from opentelemetry.instrumentation.gluellm.patching import Hooks
from opentelemetry.instrumentation.gluellm.pool.call import Call
from opentelemetry.instrumentation.gluellm.vocabulary import OUTCOMES
from unit.pool.fakes import Scene


class Fake:
    """A fake of openai's base client with one method to call a model, and its observer."""

    def __init__(self, *without: str) -> None:
        class BaseClient:
            base_url = SimpleNamespace(host="api.openai.com", port=None)

            def _build_request(self, options: Any) -> Any:
                return options

        class SyncAPIClient(BaseClient):
            def request(self, cast_to: Any, options: Any, *, stream: bool = False) -> Any:
                self._build_request(options)
                call = current_call.get()
                self.seen = None if call is None else call.counted
                if isinstance(options.json_data, Exception):
                    raise options.json_data
                return cast_to

            def _sleep_for_retry(self) -> None: ...

        class AsyncAPIClient(BaseClient):
            async def request(self, cast_to: Any, options: Any) -> Any:
                return cast_to

            async def _sleep_for_retry(self) -> None: ...

        for name in without:
            for owner in (BaseClient, SyncAPIClient, AsyncAPIClient):
                if name in vars(owner):
                    delattr(owner, name)
        self.module = ModuleType("openai._base_client")
        self.module.__dict__.update(
            BaseClient=BaseClient, SyncAPIClient=SyncAPIClient, AsyncAPIClient=AsyncAPIClient
        )
        self.client = SyncAPIClient()
        self.scene = Scene()
        self.errors: list[tuple[str, Exception]] = []
        self.hooks: list[Hooks] = []
        self.calls = StainlessCalls(
            "openai",
            lambda *error: self.errors.append(error),
            self.hooks.append,
            lambda *_: None,
            self.scene.registry.calls,
            Naming(),
        )
        self.calls._on = True
        self.calls._on_import(self.module)

    def post(self, path: str = "/chat/completions", body: Any = None, **settings: Any) -> Any:
        options = SimpleNamespace(url=path, method="post", json_data=body or {"model": "m"})
        return self.client.request("answer", options, **settings)

    def outcomes(self) -> dict[str, int]:
        assert not self.scene.registry.calls.live
        counts = [0] * len(OUTCOMES)
        for ledger in self.scene.registry.calls.ledgers.known.values():
            for of_operation in ledger.calls.values():
                counts = [a + b for a, b in zip(counts, of_operation, strict=True)]
        return {name: count for name, count in zip(OUTCOMES, counts, strict=True) if count}


@pytest.mark.parametrize(
    ("method", "hook"),
    [("_build_request", "attempts"), ("_sleep_for_retry", "pauses"), ("request", "calls")],
)
def test_missing_hook_turns_off_only_what_depends_on_it(method: str, hook: str) -> None:
    """The warning names the version; calls continue without the hook."""
    fake = Fake(method)
    (hooks,) = fake.hooks
    assert hooks.missing() == [hook, "items"]  # the fake has no streams
    assert hooks.library == "openai"
    assert hooks.version.startswith("openai ")
    if method == "_sleep_for_retry":
        assert fake.post() == "answer"
        assert fake.outcomes() == {"succeeded": 1}
    assert fake.errors == []


def test_incompatible_method_is_left_alone() -> None:
    """A wrapper would give a static method one argument too many."""
    fake = Fake()
    fake.calls.uninstall()
    fake.hooks.clear()
    fake.module.SyncAPIClient._sleep_for_retry = staticmethod(lambda: "slept")
    fake.calls._on = True
    fake.calls._on_import(fake.module)
    assert fake.hooks[0].missing() == ["pauses", "items"]
    assert fake.client._sleep_for_retry() == "slept"


def test_failure_of_the_instrumentation_leaves_the_call_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is counted; the application gets its answer."""
    fake = Fake()

    def fail(_: str) -> None:
        raise LookupError

    monkeypatch.setattr(
        "opentelemetry.instrumentation.gluellm.attribution.stainless.operation_of", fail
    )
    assert fake.post() == "answer"
    monkeypatch.undo()
    monkeypatch.setattr(fake.calls, "_open_response", fail)
    assert fake.post() == "answer"
    assert [kind for kind, _ in fake.errors] == ["attribution.sdk"] * 2
    assert fake.outcomes() == {"succeeded": 1}


def test_call_has_the_model_of_its_body() -> None:
    """If that is text. A body can be anything."""
    fake = Fake()
    for body, model in (({"model": "m\n"}, "m?"), ({"model": 7}, None), (["x"], None)):
        fake.post(body=body)
        assert fake.client.seen.model == model
    with pytest.raises(LookupError):
        fake.post(body=LookupError())
    assert fake.outcomes() == {"succeeded": 3, "failed": 1}


def test_method_of_a_later_subclass_is_covered() -> None:
    """A call that passes two wrappers counts once, and a removed wrapper passes on."""
    fake = Fake()

    class Own(type(fake.client)):  # type: ignore[misc]
        def request(self, *args: Any, **kwargs: Any) -> Any:
            return super().request(*args, **kwargs)

    fake.client, wrapped = Own(), Own.request
    assert fake.post() == "answer"
    fake.calls.uninstall()
    assert Own.request is not wrapped
    Own.request = wrapped
    assert fake.post() == "answer"
    assert fake.outcomes() == {"succeeded": 1}


def test_request_of_a_constructor_of_any_llm_is_no_call() -> None:
    """It has no operation, and is not counted."""
    fake = Fake()
    token = current_call.set(Call("openai"))
    try:
        fake.post()
    finally:
        current_call.reset(token)
    assert fake.outcomes() == {}


@pytest.mark.parametrize(
    ("path", "operation"),
    [
        ("/chat/completions", "chat"),
        ("/v1/completions?x=1", "text_completion"),
        ("/v1/messages?beta=true", "chat"),
        ("/threads/thread_1/messages", None),
        ("/v1/messages/batches", None),
        ("/v1/messages/count_tokens", None),
        ("/audio/speech", "generate_content"),
        ("/files", None),
        ("/responses/r1/cancel", None),
        ("/v1beta/models/m:streamGenerateContent?alt=sse", "generate_content"),
        ("/model/m/converse-stream", "chat"),
    ],
)
def test_operation_of_a_path(path: str, operation: str | None) -> None:
    """By its end. Files, batches and polls are no calls."""
    assert operation_of(path) == operation


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("AsyncAzureOpenAI", "azureopenai"),
        ("AnthropicBedrockMantle", "bedrock"),
        ("AsyncAnthropicVertex", "vertexaianthropic"),
        ("OpenAI", None),
    ],
)
def test_platform_of_a_class_of_clients(name: str, expected: str | None) -> None:
    """Subclasses of the application have their parent's."""
    kind = type(name, (), {})
    assert sdk.platform_of(kind) == sdk.platform_of(type("Own", (kind,), {})) == expected
