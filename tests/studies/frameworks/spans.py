"""``python -m studies.frameworks.spans``: the spans of a slow call, printed as trees.

The call waits for the only connection, gets a 429, and is answered when it is retried. It is made
through GlueLLM and through any-llm, alone and beside other instrumentations.
"""

import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from typing import Any

from gluellm_pools.fake_provider import Behaviour, FakeProviderThread
from opentelemetry import trace
from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor
from support.programs import gluellm_environment
from support.telemetry import Telemetry

from .instrumentations import use_instrumentor, use_logfire

_BESIDE = {
    "alone": "",
    "openai-v2": "opentelemetry.instrumentation.openai_v2",
    "OpenLLMetry": "opentelemetry.instrumentation.openai",
    "Logfire": "logfire",
}
_SCRIPT = (
    Behaviour(head_delay=0.5),
    Behaviour(status=429, retry_after=0.3),
    Behaviour(head_delay=0.2),
)
_ATTRIBUTES = ("gluellm.call.", "gluellm.pool.acquire", "error.type")


def main(arguments: Sequence[str]) -> None:
    """Print the trees of each way and each instrumentation, or the tree of one."""
    if arguments:
        asyncio.run(_call(*arguments))
        return
    for way in ("gluellm", "any_llm"):
        for beside in _BESIDE:
            print(f"\n{way}, {beside}", flush=True)
            with FakeProviderThread() as server, tempfile.TemporaryDirectory() as home:
                server.script(*_SCRIPT)
                own = {"HOME": home, "TRACELOOP_TELEMETRY": "false"}
                variables = {**os.environ, **gluellm_environment(server), **own}
                command = [sys.executable, "-m", "studies.frameworks.spans", way, beside]
                done = subprocess.run(command, env=variables, capture_output=True, text=True)
            print(done.stdout or done.stderr[-1500:], end="")


async def _call(way: str, beside: str) -> None:
    telemetry = Telemetry()
    if beside == "Logfire":
        use_logfire(telemetry)
    else:
        use_instrumentor(_BESIDE[beside], telemetry)
    GlueLLMInstrumentor().instrument(meter_provider=telemetry.meter_provider)
    ask = _gluellm() if way == "gluellm" else _any_llm()
    first = asyncio.create_task(ask())
    await asyncio.sleep(0.2)
    with trace.get_tracer("application").start_as_current_span("answer a user") as root:
        await ask()
    await first
    telemetry.collect()
    in_trace = root.get_span_context().trace_id
    spans = [span for span in telemetry.spans() if span.context.trace_id == in_trace]
    _print_tree(spans, None, min(span.start_time for span in spans), "")


def _gluellm() -> Any:
    import gluellm

    gluellm.configure(http_max_connections=1)
    return lambda: gluellm.complete("hi", model="openai:gpt-5")


def _any_llm() -> Any:
    import any_llm
    import httpx2

    client = httpx2.AsyncClient(limits=httpx2.Limits(max_connections=1))
    llm = any_llm.AnyLLM.create("openai", http_client=client)
    messages = [{"role": "user", "content": "hi"}]
    return lambda: llm.acompletion(model="gpt-5", messages=messages)


def _print_tree(spans: list[Any], parent: int | None, begin: int, indent: str) -> None:
    for span in sorted(spans, key=lambda one: one.start_time):
        if (span.parent.span_id if span.parent else None) != parent:
            continue
        found = ", ".join(
            f"{name}={value:.2f}" if isinstance(value, float) else f"{name}={value}"
            for name, value in sorted(span.attributes.items())
            if name.startswith(_ATTRIBUTES)
        )
        times = f"{(span.start_time - begin) / 1e9:.2f} to {(span.end_time - begin) / 1e9:.2f} s"
        scope = span.instrumentation_scope.name.rpartition(".")[2]
        print(f"{indent}{span.name} [{scope}, {span.kind.name}] {times} {found}".rstrip())
        _print_tree(spans, span.context.span_id, begin, indent + "  ")


if __name__ == "__main__":
    main(sys.argv[1:])
