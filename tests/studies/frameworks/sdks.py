"""SDKs with HTTP clients of their own: MCP, Google, Hugging Face, AWS, Qdrant."""

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from typing import Any

from support.fake_llms import ANSWERS, MODEL
from support.waiting import wait_until

from .harness import AT_ONCE, MESSAGES, QUESTION, Case, Served, at_once, begun


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


def _huggingface_hub_held(port: int) -> Any:
    from huggingface_hub import InferenceClient

    client = InferenceClient(base_url=f"http://router.huggingface.co:{port}/v1", api_key="any")
    stream = begun(client.chat_completion(MESSAGES, model=MODEL, stream=True))
    return client, stream  # a collected client closes its streams


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


def ask_qdrant(port: int) -> Any:
    """Query a vector store, synchronously and in tasks."""
    from qdrant_client import AsyncQdrantClient, QdrantClient

    arguments: dict[str, Any] = {"url": f"http://127.0.0.1:{port}", "check_compatibility": False}
    query: dict[str, Any] = {"collection_name": "documents", "query": [0.1, 0.2]}
    client = QdrantClient(**arguments)
    first, other = client.query_points(**query), AsyncQdrantClient(**arguments)
    answers = [first, *at_once(lambda: other.query_points(**query), other.close)]
    client.close()
    return [point.id for answer in answers for point in answer.points]


@contextlib.contextmanager
def mcp_server() -> Iterator[Served]:
    """Start an MCP server that has one tool."""
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


def ask_mcp(port: int) -> Any:
    """Call a tool of an MCP server over HTTP."""
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


def _cohere(port: int) -> Any:
    import cohere

    url = f"http://api.cohere.com:{port}"
    client, other = (
        kind(base_url=url, api_key="any") for kind in (cohere.ClientV2, cohere.AsyncClientV2)
    )

    def ask(client: Any) -> Any:
        return client.chat(model=MODEL, messages=MESSAGES)

    return [
        answer.message.content[0].text for answer in (ask(client), *at_once(lambda: ask(other)))
    ]


def _mistralai(port: int) -> Any:
    from mistralai.client import Mistral

    client = Mistral(server_url=f"http://api.mistral.ai:{port}", api_key="any")
    asked: dict[str, Any] = {"model": MODEL, "messages": MESSAGES}
    answers = client.chat.complete(**asked), *at_once(lambda: client.chat.complete_async(**asked))
    return [answer.choices[0].message.content for answer in answers]


def _groq(port: int) -> Any:
    from groq import AsyncGroq, Groq

    client, other = (
        kind(base_url=f"http://api.groq.com:{port}", api_key="any") for kind in (Groq, AsyncGroq)
    )

    def ask(client: Any) -> Any:
        return client.chat.completions.create(model=MODEL, messages=MESSAGES)

    return [
        answer.choices[0].message.content for answer in (ask(client), *at_once(lambda: ask(other)))
    ]


def _ollama(port: int) -> Any:
    from ollama import AsyncClient, Client

    client, other = (
        kind(host=f"http://ollama.corp.example:{port}") for kind in (Client, AsyncClient)
    )
    answers = client.chat(MODEL, MESSAGES), *at_once(lambda: other.chat(MODEL, MESSAGES))
    return [answer.message.content for answer in answers]


def _mistralai_held(port: int) -> Any:
    from mistralai.client import Mistral

    client = Mistral(server_url=f"http://api.mistral.ai:{port}", api_key="any")
    return begun(client.chat.stream(model=MODEL, messages=MESSAGES))


def _openai_held(port: int) -> Any:
    from openai import OpenAI

    client = OpenAI(base_url=f"http://vllm.corp.example:{port}/v1", api_key="any")
    return begun(client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True))


def _openai_at_vllm(port: int) -> Any:
    from openai import OpenAI

    with OpenAI(base_url=f"http://vllm.corp.example:{port}/v1", api_key="any") as client:
        return (
            client.chat.completions.create(model=MODEL, messages=MESSAGES)
            .choices[0]
            .message.content
        )


def _httpx_at_vllm(port: int) -> Any:
    import httpx

    with httpx.Client() as client:
        url, asked = (
            f"http://vllm.corp.example:{port}/v1/chat/completions",
            {"model": MODEL, "messages": MESSAGES},
        )
        return client.post(url, json=asked).json()["choices"][0]["message"]["content"]


_QUERY: object = {
    "result": {"points": [{"id": 1, "version": 0, "score": 0.5}]},
    "status": "ok",
    "time": 0.0,
}
_GENERATED = ANSWERS[":generateContent"]
_GEMINI = ("POST", f"/v1beta/models/{MODEL}:generateContent")
_CONVERSE = ("POST", f"/model/{MODEL}/converse")
QDRANT = {("POST", "/collections/documents/points/query"): _QUERY}
CASES = (
    Case("mcp", ask_mcp, server=mcp_server, scope="all"),
    Case("google-genai", _google_genai, "sdk:gcp.gemini", {_GEMINI: _GENERATED}),
    Case("huggingface_hub", _huggingface_hub, "http:huggingface", held=_huggingface_hub_held),
    Case("boto3", _boto3, "http:aws.bedrock", {_CONVERSE: ANSWERS["/converse"]}),
    Case("qdrant-client", ask_qdrant, replies=QDRANT, scope="all"),
    Case("cohere", _cohere, "http:cohere", {("POST", "/v2/chat"): ANSWERS["/v2/chat"]}),
    Case("mistralai", _mistralai, "sdk:mistral_ai", held=_mistralai_held),
    Case(
        "groq",
        _groq,
        "sdk:groq",
        {("POST", "/openai/v1/chat/completions"): ANSWERS["/chat/completions"]},
    ),
    Case("ollama", _ollama, "http:ollama", {("POST", "/api/chat"): ANSWERS["/api/chat"]}),
    Case("openai at vLLM", _openai_at_vllm, "sdk:vllm", package="openai", held=_openai_held),
    Case("httpx at vLLM", _httpx_at_vllm, "http:vllm", package="httpx"),
)
