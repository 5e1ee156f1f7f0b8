"""SDKs with HTTP clients of their own: MCP, Google, Hugging Face, AWS, Qdrant."""

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from typing import Any

from support.fake_llms import ANSWERS, MODEL
from support.waiting import wait_until

from .harness import AT_ONCE, MESSAGES, QUESTION, Case, Served, at_once


def _google_genai(port: int) -> Any:
    from google import genai

    url = f"http://generativelanguage.googleapis.com:{port}"
    options: Any = {"base_url": url, "api_version": "v1beta"}
    client = genai.Client(api_key="any", http_options=options)
    asked: dict[str, Any] = {"model": MODEL, "contents": QUESTION}
    first = client.models.generate_content(**asked)
    others = at_once(lambda: client.aio.models.generate_content(**asked), client.aio.aclose)
    return [answer.text for answer in (first, *others)]


def _huggingface_hub(port: int) -> Any:
    from huggingface_hub import AsyncInferenceClient, InferenceClient

    url = f"http://router.huggingface.co:{port}/v1"
    client = InferenceClient(base_url=url, api_key="any")

    async def ask() -> list[Any]:
        async with AsyncInferenceClient(base_url=url, api_key="any") as client:
            calls = (client.chat_completion(MESSAGES, model=MODEL) for _ in range(AT_ONCE))
            return await asyncio.gather(*calls)

    stream = client.chat_completion(MESSAGES, model=MODEL, stream=True)
    return [
        *(str(chunk.choices[0].delta.content) for chunk in stream),
        client.chat_completion(MESSAGES, model=MODEL).choices[0].message.content,
        *(answer.choices[0].message.content for answer in asyncio.run(ask())),
    ]


def _boto3(port: int) -> Any:
    from concurrent.futures import ThreadPoolExecutor

    import boto3

    client = boto3.client(
        "bedrock-runtime",
        region_name="us-east-1",
        endpoint_url=f"http://bedrock-runtime.us-east-1.amazonaws.com:{port}",
    )

    def ask(_: int) -> str:
        messages = [{"role": "user", "content": [{"text": QUESTION}]}]
        answer = client.converse(modelId=MODEL, messages=messages)
        return str(answer["output"]["message"]["content"][0]["text"])

    with ThreadPoolExecutor(AT_ONCE) as threads:
        return list(threads.map(ask, range(2 * AT_ONCE)))


def _qdrant(port: int) -> Any:
    from qdrant_client import AsyncQdrantClient, QdrantClient

    arguments: dict[str, Any] = {"url": f"http://127.0.0.1:{port}", "check_compatibility": False}
    query: dict[str, Any] = {"collection_name": "documents", "query": [0.1, 0.2]}
    client = QdrantClient(**arguments)
    first, other = client.query_points(**query), AsyncQdrantClient(**arguments)
    answers = [first, *at_once(lambda: other.query_points(**query), other.close)]
    client.close()
    return [point.id for answer in answers for point in answer.points]


@contextlib.contextmanager
def _mcp_server() -> Iterator[Served]:
    import uvicorn
    from mcp.server import MCPServer

    tools = MCPServer("tools", log_level="ERROR")

    @tools.tool()
    def add(a: int, b: int) -> int:
        """Add two numbers."""
        return a + b

    application, received = tools.streamable_http_app(), 0

    async def counted(scope: Any, receive: Any, send: Any) -> None:
        nonlocal received
        received += scope["type"] == "http"
        await application(scope, receive, send)

    server = uvicorn.Server(
        uvicorn.Config(counted, host="127.0.0.1", port=0, log_level="error", ws="none")
    )
    thread = threading.Thread(target=server.run, name="mcp", daemon=True)
    thread.start()
    wait_until(lambda: server.started, "the MCP server listens")
    yield server.servers[0].sockets[0].getsockname()[1], lambda: received
    server.should_exit = True
    thread.join()


def _mcp(port: int) -> Any:
    from mcp import ClientSession
    from mcp.client.streamable_http import streamable_http_client

    async def ask() -> list[Any]:
        async with (
            streamable_http_client(f"http://127.0.0.1:{port}/mcp") as (read, write),
            ClientSession(read, write) as session,
        ):
            await session.initialize()
            await session.list_tools()  # else concurrent calls list them a varying number of times
            calls = (session.call_tool("add", {"a": n, "b": 1}) for n in range(AT_ONCE))
            answers = await asyncio.gather(*calls)
            return [answer.content[0].text for answer in answers]

    return asyncio.run(ask())


_QUERY = {
    "result": {"points": [{"id": 1, "version": 0, "score": 0.5}]},
    "status": "ok",
    "time": 0.0,
}
_GENERATED = ANSWERS[":generateContent"]
_GEMINI = ("POST", f"/v1beta/models/{MODEL}:generateContent")
_CONVERSE = ("POST", f"/model/{MODEL}/converse")
_POINTS = ("POST", "/collections/documents/points/query")
CASES = (
    Case("mcp", _mcp, "mcp:", server=_mcp_server),
    Case("google-genai", _google_genai, "google-genai:gcp.gemini", {_GEMINI: _GENERATED}),
    Case("huggingface_hub", _huggingface_hub, "huggingface_hub:huggingface"),
    Case("boto3", _boto3, "boto3:aws.bedrock", {_CONVERSE: ANSWERS["/converse"]}),
    Case("qdrant-client", _qdrant, "qdrant:", {_POINTS: _QUERY}),
)
