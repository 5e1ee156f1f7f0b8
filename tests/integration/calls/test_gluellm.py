"""Time by stage of GlueLLM's calls.

Each program runs in its own process, because GlueLLM changes any-llm permanently.
"""

import json
import math
import textwrap
from pathlib import Path
from typing import Any

import pytest

from gluellm_pools.fake_provider import Behaviour, FakeProvider
from support.programs import run_with_gluellm

pytestmark = pytest.mark.all_sdks

PROGRAM = """
    import asyncio, json, os, time
    from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor, snapshot
    os.environ["GLUELLM_RATE_LIMIT_REQUESTS_PER_MINUTE"] = "3"
    GlueLLMInstrumentor().instrument()
    import gluellm
    from gluellm.api import RetryConfig

    def calls():
        return snapshot().to_dict()["process"]["calls"]

    async def main():
        raised, began = None, time.monotonic()
        try:
{body}
        except BaseException as error:
            raised = type(error).__name__
        pools = sorted({{pool.provider for pool in snapshot().totals}})
        print(json.dumps({{"calls": calls(), "raised": raised, "pools": pools,
                           "took": time.monotonic() - began,
                           "missing": snapshot().process.missing_hooks}}))
        await gluellm.close_providers()

    asyncio.run(main())
"""


@pytest.fixture(autouse=True)
def _gluellm() -> None:
    pytest.importorskip("gluellm")


def run(server: FakeProvider, home: Path, body: str, *, gateway: bool = True) -> dict[str, Any]:
    """Run a program and return its report, with the calls of the only provider and source."""
    program = PROGRAM.replace("{body}", textwrap.indent(textwrap.dedent(body), " " * 12))
    program = textwrap.dedent(program).replace("{{", "{").replace("}}", "}")
    if not gateway:
        # GlueLLM treats only this host as OpenAI.
        local = "import gluellm.model_id\ngluellm.model_id._OPENAI_DEFAULT_HOST = '127.0.0.1'\n"
        program = program.replace("import gluellm\n", f"{local}import gluellm\n", 1)
    done = run_with_gluellm(program, home=home, server=server)
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    report: dict[str, Any] = json.loads(lines[-1])
    assert report["missing"] == []
    (calls,) = report.pop("calls")
    assert not any(calls["now"].values())
    report["outcomes"] = {name: count for name, count in calls["outcomes"].items() if count}
    print(report["outcomes"], calls["stage_seconds"])
    return {**report, **calls, "outcomes": report["outcomes"]}


def test_call_refused_until_the_second_attempt(server: FakeProvider, tmp_path: Path) -> None:
    """The SDK's pauses, and GlueLLM's pause between attempts, count as ``backoff``."""
    server.script(*[Behaviour(status=429, retry_after=0.2)] * 3, Behaviour(head_delay=0.3))
    found = run(server, tmp_path, 'await gluellm.complete("hi", model="openai:m")')
    assert (found["outcomes"], found["retries"]) == ({"succeeded": 1}, 3)
    assert (found["source"], found["provider"]) == ("gluellm", "openai")
    assert (found["pauses"], found["pauses_requested"], found["attempts_repeated"]) == (2, 2, 1)
    assert 2.4 <= found["stage_seconds"]["backoff"] <= found["took"] - 0.3
    assert found["stage_seconds"]["requesting"] >= 0.3


def test_answer_that_does_not_parse_is_backed_off(server: FakeProvider, tmp_path: Path) -> None:
    """The last request got a 200; only GlueLLM's attempt fails."""
    found = run(
        server,
        tmp_path,
        """
        from pydantic import BaseModel
        class Answer(BaseModel):
            number: int
        again = RetryConfig(max_attempts=2, min_wait=1.0, retry_on=[Exception])
        await gluellm.GlueLLM(model="openai:m", retry_config=again).structured_complete(
            "hi", response_format=Answer
        )
        """,
    )
    assert found["outcomes"] == {"failed": 1}
    assert 1.0 <= found["stage_seconds"]["backoff"] <= found["took"]
    assert found["retries"] == 1


def test_wait_in_the_limiter(server: FakeProvider, tmp_path: Path) -> None:
    """A call in GlueLLM's limiter is ``limited``, and ``cancelled`` if it is cancelled there."""
    found = run(
        server,
        tmp_path,
        """
        for _ in range(3):
            await gluellm.complete("hi", model="openai:m")
        waiting = asyncio.create_task(gluellm.complete("hi", model="openai:m"))
        while (now := calls()[0])["oldest"].get("limited", 0) <= 0.5:
            await asyncio.sleep(0.05)
        assert now["now"]["limited"] == 1, now
        waiting.cancel()
        await waiting
        """,
    )
    assert found["raised"] == "CancelledError"
    assert found["outcomes"] == {"succeeded": 3, "cancelled": 1}
    assert found["stage_seconds"]["limited"] >= 0.5


def test_request_timeout_of_gluellm(server: FakeProvider, tmp_path: Path) -> None:
    """It cancels the request and raises TimeoutError, which is not retried."""
    server.behaviour = Behaviour(head_delay=math.inf)
    body = 'await gluellm.complete("hi", model="openai:m", request_timeout=4)'
    found = run(server, tmp_path, body)
    assert found["errors"] == {"timeout": 1}
    assert found["stage_seconds"]["requesting"] >= 1
    assert found["retries"] == 0


def test_fallback_to_another_provider_is_one_call(server: FakeProvider, tmp_path: Path) -> None:
    """The call has the provider that it began with. Its requests have the one they were sent to."""
    server.script(Behaviour(status=401), Behaviour(head_delay=0.2))
    found = run(
        server,
        tmp_path,
        """
        client = gluellm.GlueLLM(model="openai:m")
        await client.complete("hi", fallback_models=["anthropic:c"])
        """,
        gateway=False,
    )
    assert (found["raised"], found["outcomes"]) == (None, {"succeeded": 1})
    assert (found["provider"], found["pools"]) == ("openai", ["anthropic", "openai"])


def test_tool_loop_is_several_calls(server: FakeProvider, tmp_path: Path) -> None:
    """Each answer that requests a tool causes another call. The tool runs outside of calls."""
    function = {"name": "look", "arguments": "{}"}
    asked = [{"id": "1", "type": "function", "function": function}]
    message = {"role": "assistant", "content": None, "tool_calls": asked}
    server.replies["POST", "/v1/chat/completions"] = {
        "id": "1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}],
    }
    server.behaviour = Behaviour(head_delay=0.3)
    found = run(
        server,
        tmp_path,
        """
        in_flight = []
        def look() -> str:
            "Look."
            in_flight.append(sum(calls()[0]["now"].values()))
            return "seen"
        client = gluellm.GlueLLM(model="openai:m", tools=[look], max_tool_iterations=2)
        await client.complete("hi")
        await client.complete("hi", max_tool_iterations=1)
        assert in_flight and not any(in_flight), in_flight
        """,
    )
    assert (found["raised"], found["outcomes"]) == (None, {"succeeded": 3})
    assert found["turns"] == 1
    assert found["stage_seconds"]["requesting"] >= 0.9


def test_provider_of_a_call_through_a_gateway(server: FakeProvider, tmp_path: Path) -> None:
    """The call has the provider of its model. Its requests have the provider of their client."""
    body = 'await gluellm.complete("hi", model="anthropic:c")'
    found = run(server, tmp_path, body)
    assert (found["provider"], found["pools"]) == ("anthropic", ["openai"])
    assert found["outcomes"] == {"succeeded": 1}


def test_streams_and_embeddings(server: FakeProvider, tmp_path: Path) -> None:
    """A call ends when its stream is read to the end or closed."""
    found = run(
        server,
        tmp_path,
        """
        async for _ in gluellm.stream_complete("hi", model="openai:m"):
            pass
        stream = gluellm.stream_complete("hi", model="openai:m")
        async for _ in stream:
            break
        await stream.aclose()
        del stream
        await gluellm.embed("hi", model="openai:e")
        import gc
        gc.collect()
        while not calls()[0]["outcomes"].get("abandoned"):
            await asyncio.sleep(0.01)
        """,
    )
    assert found["outcomes"] == {"succeeded": 2, "abandoned": 1}
    assert found["oldest_silence"] == 0
