"""Other instrumentations of the OpenAI SDK beside this one. Their spans have to stay the same."""

import asyncio
import importlib
from functools import partial
from typing import Any

from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from opentelemetry import trace
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.telemetry import Telemetry

from .harness import AT_ONCE, MESSAGES, Case, openai_url
from .llm_frameworks import OPENAI, OPENAI_MODEL

_OPENLLMETRY = "opentelemetry.instrumentation.openai"
_OPENINFERENCE = "openinference.instrumentation.openai"


def _calls(port: int) -> list[str]:
    from openai import AsyncOpenAI, OpenAI

    def ask(client: Any, **more: Any) -> Any:
        return client.chat.completions.create(model=OPENAI_MODEL, messages=MESSAGES, **more)

    async def ask_at_once() -> list[Any]:
        async with AsyncOpenAI(base_url=openai_url(port), api_key="any") as client:
            return await asyncio.gather(*(ask(client) for _ in range(AT_ONCE)))

    with OpenAI(base_url=openai_url(port), api_key="any") as client:
        return [
            ask(client).choices[0].message.content,
            *(str(chunk.choices[0].delta.content) for chunk in ask(client, stream=True)),
            *(answer.choices[0].message.content for answer in asyncio.run(ask_at_once())),
        ]


def _with_spans(port: int, telemetry: Telemetry) -> dict[str, list[str]]:
    texts, spans = _calls(port), telemetry.spans()
    others = [s.name for s in spans if s.instrumentation_scope.name != semconv.SCOPE_NAME]  # type: ignore[union-attr]
    return {"texts": texts, "spans": sorted(others)}


def _logfire(port: int) -> Any:
    import logfire

    telemetry = Telemetry()
    processors = [SimpleSpanProcessor(telemetry.exporter)]
    logfire.configure(send_to_logfire=False, console=False, additional_span_processors=processors)
    logfire.instrument_openai()
    return _with_spans(port, telemetry)


def _with_instrumentor(module: str, port: int) -> Any:
    telemetry = Telemetry()
    trace.set_tracer_provider(telemetry.tracer_provider)
    importlib.import_module(module).OpenAIInstrumentor().instrument()
    return _with_spans(port, telemetry)


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


CASES = (
    Case("Logfire", _logfire, OPENAI, package="logfire"),
    *(
        Case(name, partial(_with_instrumentor, module), OPENAI, package=package)
        for name, module, package in (
            ("OpenLLMetry", _OPENLLMETRY, "opentelemetry-instrumentation-openai"),
            ("OpenInference", _OPENINFERENCE, "openinference-instrumentation-openai"),
        )
    ),
    Case("Sentry", _sentry, OPENAI, package="sentry-sdk"),
)
