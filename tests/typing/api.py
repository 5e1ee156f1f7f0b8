"""The public interface as type checkers see it. Checked by mypy and pyright, never run.

An unused ``type: ignore`` fails the check, so each such line must be an error.
"""

from typing import Literal, assert_type

from opentelemetry.metrics import get_meter_provider
from opentelemetry.trace import get_tracer_provider

from opentelemetry.instrumentation.gluellm import (
    Finding,
    GlueLLMInstrumentor,
    Snapshot,
    WhatIf,
    __version__,
    diagnose,
    snapshot,
    what_if,
)
from opentelemetry.instrumentation.gluellm.config import Config
from opentelemetry.instrumentation.gluellm.limits import configure_pools, reset_pools
from opentelemetry.instrumentation.gluellm.telemetry.semconv import (
    METRICS,
    Metric,
    registered_provider_name,
)

version: str = __version__

instrumentor = GlueLLMInstrumentor()
instrumentor.instrument()
instrumentor.instrument(
    tracer_provider=get_tracer_provider(),
    meter_provider=get_meter_provider(),
    scope="all",
    http_spans=True,
    metrics="full",
    span_min_duration=0.1,
    max_origins=10,
    peak_window=60,
    model_attributes=True,
    time_in_queue=True,
    leak_threshold=30,
    calls=True,
    silence_threshold=60,
    leak_stacks=True,
    loop_lag=False,
    peer_check_after=45.0,
    snapshot_signal="SIGUSR2",
)
instrumentor.instrument(snapshot_signal=10)  # type: ignore[arg-type]
instrumentor.instrument(scope="everything")  # type: ignore[arg-type]
instrumentor.instrument(leak_treshold=30)  # type: ignore[call-arg]
instrumentor.uninstrument()

GlueLLMInstrumentor.instrument_client(object(), pool_name="search")
GlueLLMInstrumentor.instrument_client(object(), "search", meter_provider=get_meter_provider())
GlueLLMInstrumentor.instrument_client(object(), pool_name=5)  # type: ignore[arg-type]
GlueLLMInstrumentor.instrument_client()  # type: ignore[call-arg]
GlueLLMInstrumentor.uninstrument_client(object())

taken = snapshot()
assert_type(taken, Snapshot)
assert_type(taken.pools[0].max_connections, int | None)
assert_type(taken.pools[0].requests[0].call_site, str | None)
assert_type(diagnose(taken), list[Finding])
assert_type(diagnose(taken, previous=taken), list[Finding])
assert_type(diagnose(taken)[0].advice, str)
assert_type(what_if(taken, max_connections=40, traffic=2), list[WhatIf])
what_if(taken, 40)  # type: ignore[call-arg]
assert_type([str(fact) for fact in diagnose(taken)[0].evidence], list[str])
taken.uptime = 1.0  # type: ignore[misc]

config = Config.read(scope="all")
assert_type(config, Config)
assert_type(config.scope, Literal["llm", "all"])
assert_type(config.metrics, Literal["lean", "full"])
assert_type(config.span_min_duration, float)
assert_type(config.max_origins, int)
assert_type(config.http_spans, bool)
config.scope = "all"  # type: ignore[misc]

assert_type(METRICS[0], Metric)
assert_type(METRICS[0].buckets, tuple[float, ...])
assert_type(registered_provider_name("xai"), str)

configure_pools()
configure_pools(
    max_connections=50,
    max_keepalive_connections=50,
    keepalive_expiry=5,
    pool_timeout=0.5,
    provider="openai",
    apply_httpx_env=True,
)
configure_pools(max_connections=2.5)  # type: ignore[arg-type]
configure_pools(50)  # type: ignore[call-arg]
reset_pools()
