"""Writes the pages of docs/ that follow from code: metrics.md and configuration.md.

``--check`` writes nothing and fails when a page differs from what the code says.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import inspect
import sys
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

from gluellm_pools.verify.queries import QUERIES
from opentelemetry.instrumentation.gluellm.adapters import ADAPTERS
from opentelemetry.instrumentation.gluellm.adapters.callers import SDKS
from opentelemetry.instrumentation.gluellm.allowed import BOOLEAN
from opentelemetry.instrumentation.gluellm.attribution.any_llm import LOST as ANY_LLM_HOOKS
from opentelemetry.instrumentation.gluellm.attribution.gluellm import LOST as GLUELLM_LOST
from opentelemetry.instrumentation.gluellm.config import SETTINGS, Config
from opentelemetry.instrumentation.gluellm.environment import (
    APPLY_HTTPX_ENV,
    LIMIT_VARIABLES,
    PROVIDER,
)
from opentelemetry.instrumentation.gluellm.limits.settings import RANGES
from opentelemetry.instrumentation.gluellm.providers import (
    AIOHTTP,
    GRPC,
    HTTPX,
    HTTPX2,
    LIMITS,
    PROVIDERS,
    URLLIB3,
    usual_library,
)
from opentelemetry.instrumentation.gluellm.telemetry import prometheus, semconv
from opentelemetry.instrumentation.gluellm.telemetry.semconv import Metric

DOCS = Path(__file__).parent
ANY_LLM_LOST = {
    "any_llm.init": "the provider of pools that a client builds when it is made",
    "any_llm.calls": "calls through an `AnyLLM` object: provider, model, operation, and their time",
    "any_llm.create": "the time in which any-llm's module functions build the client of a call",
    "any_llm.sync": "when the application has read a stream of a synchronous call",
    "any_llm.embedding": "the same of any-llm's embedding functions",
    "any_llm.moderation": "the same of any-llm's moderation functions",
    "any_llm.subclasses": "the same of providers whose classes are loaded later",
}
NOTICE = "<!-- Written by `make docs`; edit docs/generate.py or the code, not this page. -->\n"

METRICS_INTRODUCTION = """
# Metrics

What each metric is called, what it counts and which attributes it can have. The page is made from
the contract module, `telemetry/semconv.py`, from which the instruments are made too.

All durations are seconds. All metrics are in the scope `{scope}`, with the schema URL `{schema}`.
All of it is experimental: [stability](stability.md) says what that means here.

Counters, up-down counters and gauges are asynchronous: they are read once per collection, from one
snapshot of the pools, so they agree with each other. `http.client.request.duration` is not among
them: it belongs to opentelemetry-instrumentation-httpx (the setting `http_spans`).

## A request's phases

From entering the pool to giving its connection back, a request is in exactly one phase at a time,
and the phases sum to its whole time.

| phase | the request is | part of |
|---|---|---|
| `queued` | in the pool's queue for a connection | the pool |
| `connecting` | waiting for its connection to be established, also when another request does it | the pool |
| `stream_queued` | waiting for an HTTP/2 stream slot | the pool |
| `awaiting_response` | being sent, or waiting for the response's head | the provider |
| `reading` | with a read of its body in flight: the provider is at work, however silent | the provider |
| `unread` | with its head received and nobody reading: the application holds the connection | the application |

A request stays `queued` until its connection has taken it. httpcore 1.0 assigns one idle connection to
every request that waits and refuses all but one of them. In each collection, the requests in
`awaiting_response`, `reading` and `unread` never exceed the connections (HTTP/1.1) or streams (HTTP/2),
except for a moment: a request that is cancelled or fails counts until its own task has handled that.

How to read them, by the rate of `gluellm.pool.request.time` and by `gluellm.pool.request.oldest_age`
per phase. Requests in `unread`, `awaiting_response` and `reading` hold connections, so look at these
first:

- `unread` grows and its oldest age never falls: something holds responses that nobody reads.
- `awaiting_response` or `reading` grows: the provider is slow.
- `queued` grows while these three are young and flat: the pool is too small.

`gluellm.pool.lease.duration` can't tell the first from the last: it is recorded when a lease ends and
never shows running ones, so with streams that nobody closes it stays flat.

## A call's stages

A call is one model call as the application makes it, with its retries and, if the answer is streamed, its
stream. Of nested calls, only the outermost counts. Its source is GlueLLM if GlueLLM makes it, else any-llm.
Building a client is not a call. If any-llm's module functions (`any_llm.completion()`) build the client, that is part of
the call. A call is in exactly one stage at a time, and the times of its stages add up to its whole duration.
The last column names who can shorten the stage.

| stage | the call is | who acts |
|---|---|---|
| `limited` | waiting in GlueLLM's rate limiter, before each attempt | your settings |
| `preparing` | preparing its first request, the first request of a new attempt, or the request after an SDK's pause: building a client and its TLS context, serializing, waiting for a thread | the application |
| `requesting` | with a request in flight, also while a slow consumer reads its stream; see the phase of the request | the pool, the provider or the application |
| `backoff` | pausing after a failed attempt, until the next attempt or request | the provider's limits, or the retry settings |
| `finishing` | without a request in flight and in none of the other stages: parsing an answer, or working between two requests of the call | the application |

The attempts of GlueLLM and the pauses of six SDKs (openai, anthropic, groq, cerebras, together and fireworks) are
observed directly. With other SDKs, a call is in `backoff` if its last request got a status of 408, 409, 425, 429 or 5xx
(gRPC: `UNAVAILABLE`, `RESOURCE_EXHAUSTED`, `DEADLINE_EXCEEDED`), or failed otherwise and was not cancelled.

The provider of a call is the one with which it began. Its requests have the provider that they were sent to, which
differs with a gateway or a fallback. A call that is made in a task spawned inside another call counts on its own.
Other requests in such a task count for the call that spawned it, while that call runs.

In the tables below, **P** stands for the attributes {pool}, **O** for these and {origin}, and **C** for {call}.

## The provider of a series

A pool can serve several providers: one client that calls several APIs, or one that is passed to several
any-llm providers. So the provider belongs to the request, not to the pool.

- An O series has the provider of its requests: that of the any-llm call, else that of the any-llm call that
  built the pool, else the one whose API the host serves, else none. Of nested any-llm calls the innermost
  decides. A connection counts for the provider of its latest request.
- A P series has the provider of the first request, while all requests of the pool name have the same one.
  When a second provider comes, a P series without a provider begins at 0 and counts on from there. The
  old series stays for 10 minutes, its counters at their last values and its gauges at 0. The two add up to
  the whole: a pool that two providers share counts once.

## Pool names

A pool has the name that you gave it with `instrument_client`; else any-llm's provider key; else, with
`scope="all"`, the name of the SDK that built it or that sent its first request ({sdks}); else the name
of the library. The SDK is read from the stack, when the pool is built and at its first request.

## In Prometheus

Prometheus and stores like it change the names: dots become underscores, a unit of seconds and
`_total` of a counter become suffixes. The column "in Prometheus" has what you query. It is the same
on each of these ways, with the settings of [deployment](deployment.md): {ways}. A histogram has three
names, with {suffixes}. Attribute keys become labels likewise: `{provider}` is
`{provider_label}`. `service.name` and `service.instance.id` become
[labels](#labels-in-prometheus) too.
"""

METRICS_CLOSE = """
## Rules

- These counters are there with 0 from a pool's first request on, so that `increase()` sees their
  first step: `gluellm.pool.timeouts` of every kind, `gluellm.pool.reuse.failures`,
  `gluellm.pool.requeues`, `gluellm.pool.connection.opened`, `gluellm.pool.opened`,
  `gluellm.pool.discarded` of both reasons, and `gluellm.pool.requests` with the error types
  `connect_timeout`, `name_resolution_error`, `connection_error` and `secure_connection_error`. Series
  of another status, error type or close reason begin with the first that they count.
- `gluellm.pool.connection.max` and `gluellm.pool.connection.idle.max` are sums over the pools of one
  name, and left out when one of these has no limit: with a client per call they grow with the pools.
  `gluellm.pool.occupancy.ratio` is that of the fullest single pool.
- A pool name whose last pool is gone reports 0 for 10 minutes; then its series vanish.
- From the first call of a provider and source on, these series are exported, starting with 0: all stages,
  `gluellm.call.silent`, `gluellm.call.retries`, and the four outcomes of each operation that was seen. A series of
  `gluellm.call.errors` begins with its first failure. Series of calls are kept for the life of the process.
- Sum the metrics of calls over several workers: `sum(gluellm_call_current)` is the number of calls in flight. For the
  ages, use `max`.
- `suppress_instrumentation` suppresses this package's spans and nothing else: a request under it counts in
  every metric, leak and finding, as it takes a connection like any other. Logfire, for one, sets it around
  every call of an SDK. OpenTelemetry's own exporters are the exception: a pool whose first request has the
  key and comes from OpenTelemetry's SDK or an exporter is never observed, whatever the scope.
- Exemplars: acquire, create and lease durations carry the span context of the request that waited.
- Histograms are recorded at collection. A periodic reader collects at shutdown; a reader that does
  not (one with an infinite interval, the Prometheus reader) loses what came since its last
  collection, unless `meter_provider.force_flush()` is called before.

| outcome | `acquire.duration` | `create.duration` | `lease.duration` | `requests` | `timeouts` |
|---|---|---|---|---|---|
| served on a reused connection | 0 or the wait | - | yes | status | - |
| served on a new connection | the wait | yes | yes | status | - |
| pool timeout | `pool_timeout` | - | - | `pool_timeout` | `pool` |
| cancelled while queued | `cancelled` | - | - | `cancelled` | - |
| connect fails or times out | the wait | `error.type` | yes | `error.type` | `connect`, if so |
| read or write fails or times out | the wait | as it was | yes | `error.type`, with the status if a head came | `read`, `write`, if so |
| cancelled later, or closed unread | the wait | as it was | yes | `cancelled`, or the status | - |

## Steps of establishing a connection

`gluellm.pool.connection.create.time` has the time of each set-up by step. The steps of one set-up sum to its
`gluellm.pool.connection.create.duration`. What a library does not show is in `other`.

| library | `resolve` | `connect` | `proxy` | `tls` |
|---|---|---|---|---|
| httpx, httpx2: sync, asyncio, uvloop, trio | yes | yes | yes: CONNECT and SOCKS | yes |
| aiohttp: asyncio, uvloop | yes, with the connector's own cache | yes | yes, with the handshake with an `https` proxy | yes |
| urllib3 | yes | yes | yes, with the handshake with an `https` proxy; SOCKS is in `other` | yes |
| gRPC | - | - | - | - |

- `resolve` begins when the library calls the resolver. A network backend or SOCKS implementation that resolves names by
  itself is in `other`, with its `connect`. An IP address needs no `resolve`.
- `connect` includes all addresses that are tried at once or in turn (happy eyeballs), since they come from one
  resolution.
- On asyncio, names are resolved in the threads of the event loop's default executor. The wait for a thread is part of
  `resolve` here. `snapshot().totals` has it apart, as `thread` in `set_up_seconds`, and the finding `slow_connecting`
  names it. It is not shown on uvloop, which has threads of its own, on trio, and for resolvers that use no executor.
- Small parts between the steps, and the pauses between attempts of `retries=`, are in `other`.

## gRPC

A channel is a pool of one origin, and its core hides the connections in it. What gRPC does not tell is
left out: the counts of connections and of streams, why a connection is closed, set-up times, limits,
occupancy, requeues, and whether a call found its connection already there. `stream_queued` stays 0: a
call that waits for a stream's turn counts as `awaiting_response`.

- **State.** `gluellm.pool.channel.current` and `gluellm.pool.channel.time` are what was seen: gRPC is
  asked, and never made to connect by that. An async channel is asked at each call, at each collection
  and once a second while calls are under way; a sync one, whose lock that takes, at its calls' beginnings
  and ends only. While a call waits for a channel that is not ready it is asked after a millisecond, then
  at every twentieth of the time so far, and every 100 ms in the end. The time between two looks counts
  for the state of the first.
- **Phases.** A call that was made with `wait_for_ready=True` is `queued` until its channel is seen ready,
  any other is `connecting` until then. Then it awaits its head: the initial metadata of a stream, the
  whole of an answer that comes at once. A sync stream tells of its head only to whoever asks for it, or
  reads.
- **Durations.** The acquire is known, and told, only of calls that wait for ready: exactly 0 on a ready
  channel. The lease of any other is the whole call.
- **Status.** `rpc.response.status_code` is gRPC's. What a server answers is no error of the pool's, as a
  429 is none with HTTP. gRPC gives some statuses by itself and does not say when, so these count as such:
  CANCELLED is `cancelled`; DEADLINE_EXCEEDED is `pool_timeout`, `connect_timeout` or `read_timeout`, by
  the phase that it ended; UNAVAILABLE is a failure to connect while `queued` or `connecting`, by gRPC's
  own words for it, and else a `read_error`, also where the server turned the call away. The four series
  of failures to connect that are there with 0 have these statuses.
- **Retries** by a service config, such as xai_sdk's five attempts, happen in the core: one call here.
- **Leaks.** `grpc.aio` 1.85 keeps a stream that nobody reads for ever, dropped or not, so a `break` out of
  one is a leak until its channel is closed. It is a stream that is held, not a connection.

## Hooks

A hook is a function of a library that the instrumentation replaces. `gluellm.instrumentation.hook.missing`
counts the hooks that the installed version lacks. Of `any_llm` it is reported from `instrument()` on, of any
other library from its import on. For the names of missing hooks, see the log, which has one WARNING for each,
or `snapshot().process.missing_hooks`. The tables list what is not observed without a hook.

{hooks}

## Spans

Kind INTERNAL, made when they end, with their true start time.

| span | when | parent |
|---|---|---|
| `{wait}` | the wait was at least `span_min_duration`, or failed | the current span when the request entered the pool |
| the same name, a second kind | an HTTP/2 request waited that long for a connection that another request was establishing | the same |
| `{setup}` | the set-up took at least that long, or failed | the same |
| `{connect}` | within the set-up | the set-up |
| `{tls}` | within the set-up, with TLS | the set-up |
| `{call}` | a call was retried, or spent at least `span_min_duration` outside `requesting` | the current span when the call began |

The spans of requests and set-ups carry the attributes of their origin (**O** above), and of the any-llm call
`{model}` and `{operation}`, by default. The handshake carries `{tls_name}` and `{tls_version}`, where
known. The set-up carries `{network_type}` (`ipv4`, `ipv6`), and the seconds in each step of 1 ms or more as `{step_time}` with
the step's name. `socket connect` names the peer that was connected to: a proxy's address and port where there is
one.

The wait span carries what explains the wait, taken when it began: {explains}. It links to the spans
of up to three requests that held connections longest, of those that had a span. A wait that ended in a pool timeout has
status ERROR; a cancelled one is UNSET. Links carry no tracestate; a span has that of its own trace, as
every span of the SDK. The second kind carries nothing of this: it links to the span of
the set-up that it waited for. A current span of kind CLIENT gets `{reused}` and
`{acquire}`.

The call span is created at the first collection after the call's end. Its attributes are provider, source, operation,
model, `{outcome}` and `{retries}`. `{call_time}` has the seconds of each stage of at least 1 ms.
`{call_request_time}` has the seconds that its requests spent in `queued` and `awaiting_response`. If the
call failed, the span has `error.type` and status ERROR. A span of kind CLIENT gets the same attributes if it was
current when the call began and is still recording when the call ends. Only the first call under such a span sets them,
and a call whose stream was closed or dropped does not.
"""

CONFIGURATION = """
# Configuration

Every setting is a keyword argument of `GlueLLMInstrumentor().instrument()` and an environment
variable. The argument wins over the variable, the variable over the default. They are read once,
at `instrument()`.

A wrong argument raises a `ValueError` that names the setting, the value and what is allowed; a
setting that doesn't exist raises a `TypeError`. A wrong variable is logged once as a warning (logger
`opentelemetry.instrumentation.gluellm`), and the default holds. An empty variable counts as unset.
Words are case-insensitive in variables (`ANY_LLM`, `True`), and not in arguments. A variable with the
prefix `OTEL_PYTHON_GLUELLM_` that sets nothing, as a misspelt one does, is logged once too.

| setting | variable | default | unit | allowed |
|---|---|---|---|---|
{rows}

{descriptions}

## Beside these

`tracer_provider` and `meter_provider` are arguments too; without them the global providers are
used.

| variable | read by | what it does here |
|---|---|---|
| `OTEL_METRIC_EXPORT_INTERVAL` | the SDK | the default of `peak_window` follows it |
| `OTEL_PYTHON_DISABLED_INSTRUMENTATIONS` | `opentelemetry-instrument` | `gluellm` turns this package off; `httpx`, `httpx2`, `aiohttp-client`, `urllib3`, `grpc_client` and `grpc_aio_client` keep `http_spans` from turning that one on |

## Limits of pools

`configure_pools()` of `opentelemetry.instrumentation.gluellm.limits` sets limits for the pools that
any-llm builds from then on, with and without `instrument()`:

```python
from opentelemetry.instrumentation.gluellm.limits import configure_pools, reset_pools

configure_pools(max_connections=50, pool_timeout=10)
configure_pools(provider="bedrock", max_connections=8)
```

| argument | variable | unit | allowed |
|---|---|---|---|
{limit_rows}

None has a default: what is not given stays as the client has it. The variables are asked for by being
set: `instrument()`, hence `opentelemetry-instrument`, then puts them into effect, and without
`instrument()` a `configure_pools()` without arguments does. Of the same limit, the one for the provider
wins over the one for all, then the call over our variable, and that over `HTTPX_*`. Several calls add
up, and the last one wins. `reset_pools()` forgets all of them; `uninstrument()` none.

A wrong argument raises a `ValueError` before anything is changed: a number out of its range, limits that
contradict each other, a provider that any-llm doesn't have (the nearest names are offered), a limit that
the provider's library doesn't have, nothing given at all. A wrong variable is logged as a warning and
not used.

What becomes of each limit:

| library | `max_connections` | `max_keepalive_connections` | `keepalive_expiry` | `pool_timeout` | providers |
|---|---|---|---|---|---|
{library_rows}

- One number of urllib3 bounds both open and idle connections, for each host. Given for a provider of it,
  two different ones are refused; given for all, `max_connections` is the number. Without
  `max_connections` nothing waits there, so that `pool_timeout` alone is refused too.
- aiohttp has a timeout for the queue and for connecting in one, and it is the SDK's. So it gets none.
- httpx closes idle connections beyond `max_keepalive_connections`, and httpcore 1.0 counts those in use
  as well: give both numbers, and the same.
- The limit is for one pool. A client for each call, as any-llm's module functions make it, has a pool of
  its own each time.

**What you set yourself wins**: a client, session or transport that you hand to any-llm, which GlueLLM
does for openai and anthropic from its `GLUELLM_HTTP_*` settings; and in `AnyLLM.create`, or in
`client_args` of a module function, `limits=`, botocore's `config=` where it names
`max_pool_connections`, and `timeout=`, which is a pool timeout too. So is `timeout=` of a single call. The
SDKs' own defaults, 1000 connections and a pool timeout of 600 s for openai, are not yours. An `AnyLLM`
object that was made before the first `configure_pools()` can't be asked what it was given: what it builds
later gets the limits, so configure first.

`apply_httpx_env=True` makes the variables `HTTPX_MAX_CONNECTIONS` and `HTTPX_MAX_KEEPALIVE_CONNECTIONS`
limits, which GlueLLM's guide names and nothing else reads. They are limits for every library then.

A [snapshot](diagnosis.md) says which limit a pool has and what set it: `limits_from`.
"""


def code(text: object) -> str:
    """Text in a code span, safe in a table."""
    return f"`{text}`"


def level(keys: tuple[str, ...]) -> str:
    """Attribute keys, with the two levels abbreviated."""
    levels = (("O", semconv.LEVEL_ORIGIN), ("P", semconv.LEVEL_POOL), ("C", semconv.LEVEL_CALL))
    for name, common in levels:
        if keys[: len(common)] == common:
            return ", ".join([f"**{name}**", *map(code, keys[len(common) :])])
    return ", ".join(map(code, keys)) or "none"


def number(value: float) -> str:
    """A bucket bound without a needless decimal."""
    return f"{value:g}"


def metric_row(metric: Metric) -> str:
    """One metric as a row of a table."""
    attributes = level(metric.attributes)
    if metric.opt_in_attributes:
        attributes += "; by opt-in " + ", ".join(map(code, metric.opt_in_attributes))
    description = metric.description
    if metric.buckets:
        description += f" Buckets: {' '.join(map(number, metric.buckets))}."
    cells = (
        code(metric.name),
        code(prometheus.metric_name(metric)),
        metric.instrument,
        code(metric.unit),
        attributes,
        description,
    )
    return f"| {' | '.join(cells)} |"


def metric_table(title: str, introduction: str, metrics: list[Metric]) -> list[str]:
    """A section with the table of some metrics."""
    head = [
        "| name | in Prometheus | instrument | unit | attributes | meaning |",
        "|---|---|---|---|---|---|",
    ]
    text = ["", introduction] if introduction else []
    return ["", f"## {title}", *text, "", *head, *map(metric_row, metrics)]


def identity_table() -> list[str]:
    """Labels that identify a process, by ingestion path."""
    rows = []
    identity = f"{code(prometheus.SERVICE_LABEL)} | {code(prometheus.INSTANCE_LABEL)}"
    for way, labels in prometheus.SCOPE_LABELS.items():
        scope = ", ".join(map(code, labels.values())) or "none"
        rows.append(f"| {way} | {identity} | {scope} |")
    head = [
        "Labels that identify a process, by ingestion path:",
        "",
        "| ingestion path | `service.name` | `service.instance.id` | the scope |",
        "|---|---|---|---|",
    ]
    tail = [
        "",
        "With a `service.namespace` the service is `namespace/name`. VictoriaMetrics has these two by the",
        "relabelling of `dashboards/dev`; the reader's page leaves both to the scrape configuration.",
        "Aggregate the scope's labels away: they differ. So does the bound of a histogram's bucket, `1` on",
        "one way and `1.0` on another: select no single bucket by `le`.",
    ]
    return head + rows + tail


QUERIES_INTRODUCTION = """\
What people ask of the pools, in PromQL: the queries that `gluellm-pools verify` runs, which also
prints them with `--show-queries`. They give the same answer on each way. Narrow them by a label as in
`{matcher}`, and make the window at least four export intervals long. Rates are too low until there is
data of a whole window."""
UNITS = {
    "": "none",
    "s": "seconds",
    "ratio": "a share, where 1 is all",
    "/s": "per second",
    "s/s": "seconds per second: how many requests are in the phase on average",
}


def query_section() -> list[str]:
    """Each question with its query and the unit of the answer."""
    lines = QUERIES_INTRODUCTION.format(matcher='{job="api"}').split("\n")
    for query in QUERIES:
        # Without matchers, an empty pair of braces and a comma behind others are left.
        promql = query.promql().replace(",}", "}").replace("{}", "")
        lines += ["", f"**{query.question}** Unit: {UNITS[query.unit]}.", ""]
        lines += ["```promql", promql, "```"]
    return lines


def hook_tables() -> str:
    """Return what is not observed without each hook, for each library, any-llm and GlueLLM."""
    lost: dict[str, Mapping[str, str]] = {
        " and ".join(map(code, adapter.MODULES.values())): adapter.LOST for adapter in ADAPTERS
    }
    lost["any-llm"] = {name: ANY_LLM_LOST[name] for name in ANY_LLM_HOOKS}
    lost["GlueLLM"] = GLUELLM_LOST
    tables = []
    for library, signals in lost.items():
        rows = [f"| {code(name)} | {text} |" for name, text in signals.items()]
        tables.append(
            "\n".join([f"| hook of {library} | not observed without it |", "|---|---|", *rows])
        )
    return "\n\n".join(tables)


def metrics_page() -> str:
    """docs/metrics.md."""
    usual = [m for m in semconv.METRICS if not (m.full or m.setting)]
    lines = [
        METRICS_INTRODUCTION.format(
            scope=semconv.SCOPE_NAME,
            schema=semconv.SCHEMA_URL,
            pool=", ".join(map(code, semconv.LEVEL_POOL)),
            call=" and ".join(map(code, semconv.LEVEL_CALL)),
            origin=" and ".join(map(code, semconv.LEVEL_ORIGIN[len(semconv.LEVEL_POOL) :])),
            ways=", ".join(way.value for way in prometheus.Way),
            suffixes=", ".join(map(code, prometheus.HISTOGRAM_SUFFIXES)),
            provider=semconv.PROVIDER_NAME,
            provider_label=prometheus.label_name(semconv.PROVIDER_NAME),
            sdks=", ".join(map(code, sorted(set(SDKS.values())))),
        ).rstrip()
    ]
    lines += metric_table("Emitted by default", "", usual)
    lines += metric_table(
        'With `metrics="full"`',
        "These come in addition, as does `gluellm.response.streaming` on "
        "`gluellm.pool.lease.duration`.",
        [m for m in semconv.METRICS if m.full],
    )
    for metric in semconv.METRICS:
        if metric.setting:
            lines += metric_table(f"With `{metric.setting}=True`", "", [metric])
    lines += ["", "## Attributes", "", "| key | meaning | values |", "|---|---|---|"]
    for name, description in docstrings(semconv).items():
        key = getattr(semconv, name)
        if isinstance(key, str) and key in semconv.ATTRIBUTES:
            values = ", ".join(map(code, semconv.ATTRIBUTE_VALUES.get(key, ())))
            lines.append(f"| {code(key)} | {description} | {values} |")
    lines += [
        "",
        "Nothing else is recorded: no path, no query, no header, no body, no credential, no baggage,",
        "no text of a user.",
    ]
    lines += ["", "## Labels in Prometheus", "", *identity_table()]
    lines += ["", "## Queries", "", *query_section()]
    explains = (
        semconv.SPAN_CONNECTION_ACTIVE,
        semconv.SPAN_CONNECTION_IDLE,
        semconv.SPAN_CONNECTION_MAX,
        semconv.SPAN_REQUEST_QUEUED,
        semconv.SPAN_OLDEST_LEASE_AGE,
        semconv.SPAN_OLDEST_LEASE_PHASE,
    )
    names = {"address": "{server.address}", "port": "{server.port}"}
    lines.append(
        METRICS_CLOSE.format(
            wait=semconv.SPAN_WAIT.format(**names),
            setup=semconv.SPAN_SETUP.format(**names),
            connect=semconv.SPAN_CONNECT.format(**names),
            tls=semconv.SPAN_TLS.format(**names),
            hooks=hook_tables(),
            model=semconv.REQUEST_MODEL,
            operation=semconv.OPERATION_NAME,
            tls_name=semconv.TLS_PROTOCOL_NAME,
            tls_version=semconv.TLS_PROTOCOL_VERSION,
            network_type=semconv.NETWORK_TYPE,
            step_time=semconv.SPAN_STEP_TIME,
            explains=", ".join(map(code, explains)),
            call=semconv.SPAN_CALL,
            outcome=semconv.CALL_OUTCOME,
            retries=semconv.SPAN_CALL_RETRIES,
            call_time=semconv.SPAN_CALL_TIME.format(stage="<stage>"),
            call_request_time=semconv.SPAN_CALL_REQUEST_TIME.format(phase="<phase>"),
            reused=semconv.CONNECTION_REUSED,
            acquire=semconv.SPAN_ACQUIRE_DURATION,
        )
    )
    return NOTICE + "\n".join(lines)


def docstrings(owner: type | ModuleType) -> dict[str, str]:
    """The docstrings of a module's or a class's attributes, each in one line."""
    tree: Any = ast.parse(inspect.getsource(owner))
    found: dict[str, str] = {}
    for attribute, text in pairwise(tree.body[0].body if isinstance(owner, type) else tree.body):
        if isinstance(attribute, ast.AnnAssign) and isinstance(text, ast.Expr):
            found[ast.unparse(attribute.target)] = " ".join(ast.literal_eval(text.value).split())
    return found


def configuration_page() -> str:
    """docs/configuration.md."""
    rows = []
    descriptions = []
    described = docstrings(Config)
    for setting in SETTINGS:
        default = f'"{setting.default}"' if isinstance(setting.default, str) else setting.default
        cells = (
            code(setting.name),
            code(setting.variable),
            code(default),
            setting.unit or "-",
            setting.rule.allowed,
        )
        rows.append(f"| {' | '.join(cells)} |")
        descriptions.append(f"**`{setting.name}`**: {described[setting.name]}")
    return NOTICE + CONFIGURATION.format(
        rows="\n".join(rows),
        descriptions="\n\n".join(descriptions),
        limit_rows="\n".join(limit_rows()),
        library_rows="\n".join(library_rows()),
    )


def limit_rows() -> list[str]:
    """The arguments of configure_pools()."""
    allowed = {name: (limit.unit, limit.rule.allowed) for name, limit in RANGES.items()}
    allowed[PROVIDER] = ("-", "one of any-llm's providers")
    allowed[APPLY_HTTPX_ENV] = ("-", BOOLEAN.allowed)
    return [
        f"| {code(name)} | {code(LIMIT_VARIABLES[name])} | {unit} | {values} |"
        for name, (unit, values) in allowed.items()
    ]


LIMITS_BY_LIBRARY = {
    "httpx": ("the same", "the same", "the same", "the request's pool timeout"),
    "aiohttp": ("`limit`", "", "`keepalive_timeout`", ""),
    "urllib3": ("`maxsize`, `block=True`", "`maxsize`", "", "`pool_timeout` of `urlopen`"),
    "gRPC": ("", "", "", ""),
}
"""What of a library takes each limit; the table below says which there are."""


def library_rows() -> list[str]:
    """What each library makes of the limits, and which providers run on it."""
    rows = []
    for libraries in ((HTTPX, HTTPX2), (AIOHTTP,), (URLLIB3,), (GRPC,)):
        takes = LIMITS_BY_LIBRARY[libraries[0].name]
        for library in libraries:
            there = tuple(limit in library.limits for limit in LIMITS)
            assert there == tuple(map(bool, takes)), library
        on = sorted(name for name in PROVIDERS if usual_library(name) in libraries)
        names = ", ".join(map(code, on)) if len(on) < 20 else "all others"
        cells = (" and ".join(library.name for library in libraries), *(t or "none" for t in takes))
        rows.append(f"| {' | '.join((*cells, names))} |")
    return rows


PAGES = {"metrics.md": metrics_page, "configuration.md": configuration_page}


def main() -> int:
    """Write the pages, or check them. Returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="fail when a page is out of date")
    check = parser.parse_args().check
    stale = False
    for name, page in PAGES.items():
        path = DOCS / name
        text = page()
        found = path.read_text() if path.exists() else ""
        if text == found:
            continue
        stale = True
        if check:
            difference = difflib.unified_diff(
                found.splitlines(), text.splitlines(), f"docs/{name}", "from the code", lineterm=""
            )
            print("\n".join(difference))
        else:
            path.write_text(text)
            print(f"wrote docs/{name}")
    if check and stale:
        print("The generated pages are out of date: run `make docs`.")
    return int(check and stale)


if __name__ == "__main__":
    sys.exit(main())
