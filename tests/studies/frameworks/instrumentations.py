"""Other instrumentations of the OpenAI SDK beside this one. Their spans have to stay the same."""

import importlib
from collections.abc import Callable
from functools import partial
from typing import Any

from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from opentelemetry import trace
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.telemetry import Telemetry

from .harness import MESSAGES, Case, at_once, openai_url
from .llm_frameworks import OPENAI, OPENAI_MODEL


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


def _with_spans(use: Callable[[Telemetry], None], port: int) -> dict[str, list[str]]:
    telemetry = Telemetry()
    use(telemetry)
    texts, spans = _calls(port), telemetry.spans()
    others = [s.name for s in spans if s.instrumentation_scope.name != semconv.SCOPE_NAME]  # type: ignore[union-attr]
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


_OPENLLMETRY = partial(use_instrumentor, "opentelemetry.instrumentation.openai")
_OPENINFERENCE = partial(use_instrumentor, "openinference.instrumentation.openai")
CASES = (
    *(
        Case(name, partial(_with_spans, use), OPENAI, package=package)
        for name, use, package in (
            ("Logfire", use_logfire, "logfire"),
            ("OpenLLMetry", _OPENLLMETRY, "opentelemetry-instrumentation-openai"),
            ("OpenInference", _OPENINFERENCE, "openinference-instrumentation-openai"),
        )
    ),
    Case("Sentry", _sentry, OPENAI, package="sentry-sdk"),
)
