"""Attribution with GlueLLM: its provider cache, its gateway mode, and its changes to any-llm."""

import textwrap
from pathlib import Path

import pytest

from gluellm_pools.fake_provider import FakeProvider
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
                seen = (call.provider, call.model, call.operation, call.correlation_id)
                print(library, request.url.target.decode(), *seen)
                return await handle(self, request)
            pool.handle_async_request = probe
        pool = module.AsyncConnectionPool
        patch(pool, module.__name__, pool.handle_async_request)
    import gluellm
    from gluellm.api import _provider_cache
    from gluellm.runtime.context import set_correlation_id
    if when == "after":
        attribution.install()

    async def main():
        known = {"correlation_id": "order-4711"}
        set_correlation_id(**known)
        if what == "late patch":
            # The provider is cached before GlueLLM replaces any-llm's method on its base class.
            _provider_cache.get_provider("openai:e", None)
        await gluellm.embed("hi", model="openai:e")
        await gluellm.complete("hi", model="openai:m", **known)
        await gluellm.complete("hi", model="anthropic:c", **known)
        async for chunk in gluellm.stream_complete("hi", model="openai:s", **known):
            assert current_call.get() is None
        await gluellm.close_providers()

    asyncio.run(main())
"""


def run(server: FakeProvider, when: str, what: str, home: Path, gateway: bool) -> list[str]:
    """Return provider, model, operation and correlation id of each request of GlueLLM."""
    program = textwrap.dedent(PROGRAM)
    if not gateway:
        # GlueLLM treats only this host as OpenAI.
        local = "import gluellm.model_id\ngluellm.model_id._OPENAI_DEFAULT_HOST = '127.0.0.1'\n"
        program = program.replace("import gluellm\n", f"{local}import gluellm\n", 1)
    done = run_with_gluellm(program, when, what, home=home, server=server)
    return [line for line in done.stdout.splitlines() if line.startswith(("http", "error"))]


def test_gateway_mode_is_attributed_to_openai(provider_server, tmp_path):
    """With OPENAI_BASE_URL, all models go through openai under their full names."""
    pytest.importorskip("gluellm")
    assert run(provider_server, "before", "early patch", tmp_path, gateway=True) == [
        "httpcore /v1/embeddings openai openai:e embeddings order-4711",
        "httpcore /v1/chat/completions openai openai:m chat order-4711",
        "httpcore /v1/chat/completions openai anthropic:c chat order-4711",
        "httpcore /v1/chat/completions openai openai:s chat order-4711",
    ]


@pytest.mark.parametrize(("when", "what"), [("before", "early patch"), ("after", "late patch")])
def test_each_provider_keeps_its_own_name(when, what, provider_server, tmp_path):
    """Both use GlueLLM's httpx client. GlueLLM replaces ``BaseOpenAIProvider._aembedding``."""
    pytest.importorskip("gluellm")
    assert run(provider_server, when, what, tmp_path, gateway=False) == [
        "httpcore /v1/embeddings openai e embeddings order-4711",
        "httpcore /v1/chat/completions openai m chat order-4711",
        "httpcore /v1/messages anthropic c chat order-4711",
        "httpcore /v1/chat/completions openai s chat order-4711",
    ]
