"""Other instrumentations of the OpenAI SDK beside this one, and the spans of agents' tools.

The spans of the others have to stay the same, whichever instrumentation is installed first.
"""

import importlib
from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from typing import Any

from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from opentelemetry import trace
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.telemetry import Telemetry

from .harness import MESSAGES, Case, at_once, openai_url
from .llm_frameworks import OPENAI, OPENAI_MODEL
from .sdks import QDRANT, ask_mcp, ask_qdrant, mcp_server

_TOLD = ("gen_ai.provider.name", "gen_ai.system", "gen_ai.request.model", "llm.model_name")
"""Attributes of others' spans that name the provider and the model."""
_telemetry = cache(Telemetry)


def _calls(port: int) -> list[str]:
    from openai import AsyncOpenAI, OpenAI

    def ask(client: Any, **more: Any) -> Any:
        return client.chat.completions.create(model=OPENAI_MODEL, messages=MESSAGES, **more)

    other = AsyncOpenAI(base_url=openai_url(port), api_key="any")
    with OpenAI(base_url=openai_url(port), api_key="any") as client:
        return [
            ask(client).choices[0].message.content,
            *(str(chunk.choices[0].delta.content) for chunk in ask(client, stream=True)),
            *(
                answer.choices[0].message.content
                for answer in at_once(lambda: ask(other), other.close)
            ),
        ]


def use_logfire(telemetry: Telemetry) -> None:
    """Let logfire instrument the OpenAI SDK and export its spans."""
    import logfire

    processors = [SimpleSpanProcessor(telemetry.exporter)]
    logfire.configure(send_to_logfire=False, console=False, additional_span_processors=processors)
    logfire.instrument_openai()


def use_instrumentor(module: str, telemetry: Telemetry) -> None:
    """Set the global tracer provider; a module, if named, instruments the OpenAI SDK."""
    trace.set_tracer_provider(telemetry.tracer_provider)
    if module:
        importlib.import_module(module).OpenAIInstrumentor().instrument()


def _with_spans(use: Callable[[Telemetry], None] | None, port: int) -> dict[str, list[Any]]:
    if use is not None:
        use(_telemetry())
    texts, spans = _calls(port), _telemetry().spans()
    others = [
        [span.name, *(str(span.attributes.get(key)) for key in _TOLD)]  # type: ignore[union-attr]
        for span in spans
        if span.instrumentation_scope.name != semconv.SCOPE_NAME  # type: ignore[union-attr]
    ]
    return {"texts": texts, "spans": sorted(others)}


def _sentry(port: int) -> Any:
    import sentry_sdk
    from sentry_sdk.transport import Transport

    spans: list[str] = []

    def http_spans(found: Any) -> Any:
        # The OpenAI SDK also starts subprocesses, to describe the platform.
        return (span for span in found if span["op"] == "http.client")

    class InMemory(Transport):
        def capture_envelope(self, envelope: Any) -> None:
            event = envelope.get_transaction_event()
            if event is not None:
                spans.extend(str(span.get("description")) for span in http_spans(event["spans"]))

    sentry_sdk.init(
        dsn=f"http://key@127.0.0.1:{port}/1", transport=InMemory, traces_sample_rate=1.0
    )
    with sentry_sdk.start_transaction(op="task", name="calls"):
        texts = _calls(port)
    sentry_sdk.flush()
    return {"texts": texts, "spans": sorted(span.replace(f":{port}", "") for span in spans)}


def _as_a_tool(use: Callable[[int], Any], port: int) -> Any:
    """Use a tool as agents do: inside spans of the GenAI conventions, of both usual kinds."""
    trace.set_tracer_provider(_telemetry().tracer_provider)
    tracer = trace.get_tracer("agents")
    operation = {semconv.OPERATION_NAME: "invoke_agent"}
    with (
        tracer.start_as_current_span("agent", kind=trace.SpanKind.CLIENT, attributes=operation),
        tracer.start_as_current_span("tool", attributes={semconv.OPERATION_NAME: "execute_tool"}),
    ):
        return use(port)


def _slack(port: int) -> Any:
    import httpx

    url = f"http://slack.com:{port}{_POSTED[1]}"
    return [httpx.post(url, json={"text": "hi"}).json() for _ in range(3)]


_POSTED = ("POST", "/api/chat.postMessage")
_OTHERS = (
    ("Logfire", use_logfire, "logfire"),
    *(
        (name, partial(use_instrumentor, module), package)
        for name, module, package in (
            (
                "OpenLLMetry",
                "opentelemetry.instrumentation.openai",
                "opentelemetry-instrumentation-openai",
            ),
            (
                "OpenInference",
                "openinference.instrumentation.openai",
                "openinference-instrumentation-openai",
            ),
            (
                "openai-v2",
                "opentelemetry.instrumentation.openai_v2",
                "opentelemetry-instrumentation-openai-v2",
            ),
        )
    ),
)
_TOOLS = (
    ("Slack", Case("", _slack, replies={_POSTED: {"ok": True}}, package="httpx")),
    ("Qdrant", Case("", ask_qdrant, replies=QDRANT, package="qdrant-client")),
    ("MCP", Case("", ask_mcp, server=mcp_server, package="mcp")),
)
CASES = (
    *(
        Case(f"{name}, installed after", partial(_with_spans, use), OPENAI, package=package)
        for name, use, package in _OTHERS
    ),
    *(
        Case(
            f"{name}, installed before",
            partial(_with_spans, None),
            OPENAI,
            package=package,
            before=lambda use=use: use(_telemetry()),  # type: ignore[misc]
        )
        for name, use, package in _OTHERS
    ),
    Case("Sentry", _sentry, OPENAI, package="sentry-sdk"),
    *(
        replace(case, framework=f"tool: {name}", run=partial(_as_a_tool, case.run), observed=False)
        for name, case in _TOOLS
    ),
)
