"""A notebook, cell by cell. Each cell may be run again."""

# %% Set up: a second run does nothing.
from any_llm import AnyLLM
from opentelemetry.metrics import get_meter_provider, set_meter_provider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor, diagnose, snapshot

if not isinstance(get_meter_provider(), MeterProvider):
    set_meter_provider(MeterProvider([InMemoryMetricReader()]))
    GlueLLMInstrumentor().instrument()

# %% A client: one for the whole notebook, since each has a pool of its own.
llm = AnyLLM.create("openai")

# %% Ask.
answer = llm.completion(model="gpt-4o-mini", messages=[{"role": "user", "content": "Say hello."}])
print(answer.choices[0].message.content)

# %% Look at the pools now, without any backend.
for pool in snapshot().pools:
    print(pool)
for finding in diagnose(snapshot()):
    print(finding)
