"""GlueLLM's provider cache, its gateway mode, and what it changes in any-llm."""

import textwrap
from pathlib import Path

import pytest

from opentelemetry.instrumentation.gluellm.cli.fake_provider import FakeProvider
from support.programs import run_with_gluellm

pytestmark = pytest.mark.all_sdks

PROGRAM = """
    import asyncio, sys
    import importlib, importlib.util
    from opentelemetry.instrumentation.gluellm.attribution.any_llm import AnyLLMAttribution
    from opentelemetry.instrumentation.gluellm.attribution.context import current_call

    when, what = sys.argv[1:]
    attribution = AnyLLMAttribution(lambda kind, error: print("error", kind, error))
    if when == "before":
        attribution.install()
    names = [name for name in ("httpcore", "httpcore2") if importlib.util.find_spec(name)]
    for module in map(importlib.import_module, names):
        def patch(pool, library, handle):
            async def probe(self, request):
                call = current_call.get()
                seen = (call.provider, call.model, call.operation) if call else None
                print(library, request.url.target.decode(), seen)
                return await handle(self, request)
            pool.handle_async_request = probe
        pool = module.AsyncConnectionPool
        patch(pool, module.__name__, pool.handle_async_request)
    import gluellm
    from gluellm.api import _provider_cache
    if when == "after":
        attribution.install()

    async def main():
        if what == "late patch":
            # The provider is cached before GlueLLM replaces any-llm's method on its base class.
            _provider_cache.get_provider("openai:e", None)
        elif what == "chat":
            await gluellm.complete("hi", model="openai:m")
            await gluellm.complete("hi", model="anthropic:c")
            async for chunk in gluellm.stream_complete("hi", model="openai:s"):
                assert current_call.get() is None
        if what != "chat":
            await gluellm.embed("hi", model="openai:e")
        await gluellm.close_providers()

    asyncio.run(main())
"""


def run(server: FakeProvider, when: str, what: str, home: Path, gateway: bool) -> list[str]:
    """What GlueLLM's requests are attributed to."""
    program = textwrap.dedent(PROGRAM)
    if not gateway:
        # The one host that GlueLLM takes for OpenAI itself.
        local = "import gluellm.model_id\ngluellm.model_id._OPENAI_DEFAULT_HOST = '127.0.0.1'\n"
        program = program.replace("import gluellm\n", f"{local}import gluellm\n", 1)
    done = run_with_gluellm(program, when, what, home=home, server=server)
    return [line for line in done.stdout.splitlines() if line.startswith(("http", "error"))]


@pytest.fixture(autouse=True)
def _gluellm() -> None:
    pytest.importorskip("gluellm")


@pytest.mark.parametrize("when", ["before", "after"])
def test_gateway_mode_is_openai(when, provider_server, tmp_path):
    """With OPENAI_BASE_URL set every model goes through the openai provider, and says so."""
    assert run(provider_server, when, "chat", tmp_path, gateway=True) == [
        "httpcore /v1/chat/completions ('openai', 'openai:m', 'chat')",
        "httpcore /v1/chat/completions ('openai', 'anthropic:c', 'chat')",
        "httpcore /v1/chat/completions ('openai', 'openai:s', 'chat')",
    ]


def test_cached_providers_keep_their_own_names(provider_server, tmp_path):
    """Without a gateway each model goes to its own provider, both on GlueLLM's httpx client."""
    assert run(provider_server, "before", "chat", tmp_path, gateway=False) == [
        "httpcore /v1/chat/completions ('openai', 'm', 'chat')",
        "httpcore /v1/messages ('anthropic', 'c', 'chat')",
        "httpcore /v1/chat/completions ('openai', 's', 'chat')",
    ]


@pytest.mark.parametrize("what", ["embed", "late patch"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_embedding_that_gluellm_replaces_is_attributed(when, what, provider_server, tmp_path):
    """GlueLLM puts its own function over BaseOpenAIProvider._aembedding at its first call."""
    assert run(provider_server, when, what, tmp_path, gateway=False) == [
        "httpcore /v1/embeddings ('openai', 'e', 'embeddings')",
    ]
