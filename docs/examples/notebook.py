"""A notebook, cell by cell. Each cell can run repeatedly."""

# %% Set up. A second run does nothing.
from any_llm import AnyLLM
from opentelemetry.metrics import get_meter_provider, set_meter_provider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor, diagnose, snapshot

if not isinstance(get_meter_provider(), MeterProvider):
    set_meter_provider(MeterProvider([InMemoryMetricReader()]))
    GlueLLMInstrumentor().instrument()

# %% One client for the whole notebook, since each client has its own pool.
llm = AnyLLM.create("openai")

# %% Call the model.
answer = llm.completion(model="gpt-4o-mini", messages=[{"role": "user", "content": "Say hello."}])
print(answer.choices[0].message.content)

# %% Look at the pools, without any backend.
for pool in snapshot().pools:
    print(pool)
for finding in diagnose(snapshot()):
    print(finding)
