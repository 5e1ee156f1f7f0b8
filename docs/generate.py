"""Writes the pages of docs/ that follow from code: those in `PAGES`.

``--check`` writes nothing and fails when a page is out of date.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import inspect
import json
import sys
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

from gluellm_diagnosis import table
from gluellm_pools import prometheus
from gluellm_pools.verify.outcomes import QUERIES
from opentelemetry.instrumentation.gluellm.adapters import ADAPTERS
from opentelemetry.instrumentation.gluellm.adapters.callers import SDKS
from opentelemetry.instrumentation.gluellm.allowed import BOOLEAN
from opentelemetry.instrumentation.gluellm.attribution.any_llm import LOST as ANY_LLM_HOOKS
from opentelemetry.instrumentation.gluellm.attribution.gluellm import LOST as GLUELLM_LOST
from opentelemetry.instrumentation.gluellm.attribution.google_genai import GoogleCalls
from opentelemetry.instrumentation.gluellm.attribution.mistralai import MistralCalls
from opentelemetry.instrumentation.gluellm.attribution.stainless import StainlessCalls
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
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from opentelemetry.instrumentation.gluellm.telemetry.semconv import Instrument, Metric

DOCS = Path(__file__).parent
MEASURED = DOCS.parent / "tests" / "studies" / "frameworks" / "measured.json"
"""Written by ``make -C tests/studies frameworks``."""
OTHER = ", installed before"
"""End of the names of runs beside another instrumentation."""
ANY_LLM_LOST = {
    "any_llm.init": "the provider of pools that a client builds when it is made",
    "any_llm.calls": "calls through an `AnyLLM` object: provider, model, operation, and their time",
    "any_llm.create": "the time in which any-llm's module functions build the client of a call",
    "any_llm.sync": "when the application has read a stream of a synchronous call",
    "any_llm.embedding": "calls of any-llm's embedding functions",
    "any_llm.moderation": "calls of any-llm's moderation functions",
    "any_llm.subclasses": "calls through `AnyLLM` objects of classes that are loaded later",
}
NOTICE = "<!-- Written by `make docs`; edit docs/generate.py or the code, not this page. -->\n"

FRAMEWORKS_PAGE = """
# Your framework

Each framework ran with its defaults, with and without the instrumentation, against a fake provider in another process: same
results, every call counted once.

| framework | calls | pool: connections | timeout | line |
|---|---|---|---|---|
{rows}

- *calls*: [source](where-40-seconds-go.md#what-counts-as-a-call) and provider. With `sdk`, retries belong to the call, and
  its model is known. With `http`, each request is a call of its own, without a model or pauses.
- *pool*: its name and its limit, or those of its two pools.
- *timeout*: of the pool, and of a read if that differs. LangChain passes "none" to the SDK.
- *line*: whose line of code is reported: *framework*, if it calls in a task or thread of its own; *none*, if only the SDK's
  code runs there. Both: it depends on the method.

Unread streams of these were reported as a leak at your line (others were not tried):
{leaks}.

An agent's requests to {tools} are no calls. If retries by LiteLLM or tenacity succeed, no alert fires.
Beside {beside}, turned on in any order, spans stay the same, and no call counts twice.

dspy 3.4, niquests, curl_cffi and openai's realtime API (websockets) are not observed, as the log and `snapshot()` say once
they are imported. Where niquests is installed, `requests` and boto3 are not observed
either.

The provider comes from the host (see [`hosts`](settings.md)), else from the current GenAI span. `doctor` shows how to set limits and timeouts in
openai-agents, langchain-openai, LiteLLM and pydantic-ai.
"""

METRICS_INTRODUCTION = """
# Metrics

Durations are in seconds. The instrumentation scope is
`{scope}`, the schema URL `{schema}`. Names can still change: [stability](maintainers/stability.md).

Counters, up-down counters and gauges are asynchronous. Each collection reads all of them from one
snapshot, so they agree. Histograms are recorded at the next collection after the
event. `http.client.request.duration` is not included; opentelemetry-instrumentation-httpx emits it
([`http_spans`](settings.md)).

Histograms cannot show a request that hangs, since they only record requests that have ended: read
`gluellm.pool.request.time` and `gluellm.pool.request.oldest_age` by
[phase](where-40-seconds-go.md#phases-of-a-request).

## A call's stages

[Where did my 40 seconds go?](where-40-seconds-go.md) describes the stages and [what counts as a
call](where-40-seconds-go.md#what-counts-as-a-call).

Pauses before a retry are observed directly for GlueLLM and six SDKs (openai, anthropic, groq, cerebras, together,
fireworks). With other SDKs, a call enters `backoff` when its request fails without being cancelled, or ends with status
408, 409, 425, 429 or 5xx (gRPC: `UNAVAILABLE`, `RESOURCE_EXHAUSTED`, `DEADLINE_EXCEEDED`).

A call has the provider with which it began. With a gateway or a fallback, its requests can have another provider. If a
call starts an asyncio task, LLM calls in that task count separately (from Python 3.12 on). The task's other HTTP requests
belong to the call that started it, until that call ends.

## Names in Prometheus

Dots become underscores, seconds become the suffix `_seconds`, and counters end in `_total`. Histograms have {suffixes}.
Attribute keys change likewise: `{provider}` becomes `{provider_label}`. With the settings in [Deploy](deploy.md), names
are the same on all [ingestion paths](#labels-in-prometheus).

In the tables, **P** stands for {pool}; **O** for these and {origin}; **C** for {call}.
"""

METRICS_CLOSE = """
## The provider of a series

A pool can serve several providers, so the provider is that of the request:

- **O** series have the first known provider of: any-llm's innermost call, the current call, the any-llm call that built the
  pool, the host. A connection counts for the provider of its latest
  request.
- **P** series have a provider while all requests of the pool name go to one provider. When a second one appears, new
  series without `gen_ai.provider.name` start at 0. The old ones end after 10 minutes, in which their counters stand
  still and their gauges are 0. So sums of gauges and of rates are correct.

## Pool names

A pool has the first of these names that exists:

1. the name given to `instrument_client`
2. for any-llm and GlueLLM, any-llm's name of the provider
3. the SDK that built the pool or sent its first request: {sdks}
4. the library

## The error of a call

A failed call has the first of these as its `error.type`:

1. `timeout`, if a timeout of the call cancelled its last request
2. the failure of its last request
3. its status, if at least 400
4. the class of its exception (at most 20 classes)

## When series start and end

- These counters start at 0 with the pool's first request, so that `increase()` sees their first step:
  `gluellm.pool.timeouts` (each kind), `gluellm.pool.leaks`, `gluellm.pool.anomalies` (each type), `gluellm.pool.reuse.failures`, `gluellm.pool.requeues`,
  `gluellm.pool.connection.opened`, `gluellm.pool.opened`, `gluellm.pool.discarded` (each reason), and
  `gluellm.pool.requests` with `error.type` `connect_timeout`, `name_resolution_error`, `connection_error` and
  `secure_connection_error`.
- With the first call of a provider and source, these start at 0: the metrics of each stage,
  `gluellm.call.silent`, `gluellm.call.retries`, and `gluellm.calls` with each outcome.
- When the last pool of a name is gone, its gauges fall to 0 or end. 10 minutes later, all its series end except its
  histograms. Series of calls never end.
- Acquire, create and lease durations have exemplars with the [caller's span](#spans).
- Requests under `suppress_instrumentation` have no spans, but count in all metrics.

| recorded for a request that | `acquire.duration` | `create.duration` | `lease.duration` | `requests` | `timeouts` |
|---|---|---|---|---|---|
| is served on a reused connection | yes | - | yes | status | - |
| is served on a new connection | yes | yes | yes | status | - |
| ends in a pool timeout | yes, `pool_timeout` | - | - | `pool_timeout` | `pool` |
| is cancelled while queued | yes, `cancelled` | - | - | `cancelled` | - |
| cannot connect | yes | yes, `error.type` | yes | `error.type` | `connect`, if it timed out |
| fails to be sent or read | yes | yes, if new | yes | `error.type`, and the status if known | `read` or `write`, if it timed out |
| is cancelled later, or closed unread | yes | yes, if new | yes | `cancelled`, or the status | - |

## Steps of establishing a connection

`gluellm.pool.connection.create.time` divides each set-up into steps, except on gRPC.

- `resolve` includes the wait for a thread of the event loop's executor. `snapshot().totals` and the finding
  `executor_full` report that wait separately (not for uvloop, trio, or resolvers without an executor).
- `connect` includes all addresses that were tried.
- With an `https` proxy in aiohttp and urllib3, `proxy` includes its TLS handshake.
- `other` includes what the library does not show: a SOCKS proxy of urllib3, a network backend that resolves names
  itself, pauses between attempts.

## gRPC

A channel counts as a pool with one origin. gRPC's core hides the channel's connections. So connections,
streams, close reasons, set-up times, limits, occupancy and requeues are not measured, and `stream_queued` is always 0.

- Channel states are sampled: at each request, every 1 to 100 ms while a request waits for its channel, and for async
  channels once a second while requests are in flight.
- Requests with `wait_for_ready=True` are `queued` until their channel is ready, others are `connecting`. Only the
  former have an acquire duration.
- Three statuses also set `error.type`: `CANCELLED` sets `cancelled`, `DEADLINE_EXCEEDED` the timeout of the current
  phase, and `UNAVAILABLE` a failure to connect or, after sending, `read_error`.
- Retries by a service config happen inside the core and are not seen.
- `grpc.aio` 1.85 releases an unread stream only when its channel closes: it is a leak.

## Hooks

A hook is a function of a library that the instrumentation wraps. [All hooks](maintainers/hooks.md).

## Spans

Spans have kind INTERNAL. They are created when they end, with their true start time.

| span | created if | parent |
|---|---|---|
| `{wait}` | the wait for a connection took at least `span_min_duration`, or failed. An HTTP/2 request can also wait while another request sets up the connection; the span then links to that set-up | the caller's span, which was current when the request entered the pool |
| `{setup}` | the set-up took at least `span_min_duration`, or failed | the same |
| `{connect}`, `{tls}` | inside a set-up | the set-up |
| `{call}` | the call was retried, or spent at least `span_min_duration` outside `requesting` | the span that was current when the call began |

- Wait and set-up spans have the attributes **O**, `{model}` and `{operation}`.
- The wait span shows the pool when the wait began: {explains}. It links to the caller's spans of
  the three requests that have held a connection longest. After a pool timeout, its status is ERROR.
- The set-up span has `{network_type}` and, per step, `{step_time}<step>`. The handshake has `{tls_name}` and
  `{tls_version}`. `socket connect` names the peer, which can be a proxy.
- The call span has provider, source, operation, model, `{outcome}`, `{retries}`, `{call_time}`, `{call_request_time}`
  and, if the call failed, `error.type`.
- A CLIENT span that is current during a request gets `{reused}` and `{acquire}`. The first call
  in that span also adds a call span's attributes, unless the call was abandoned.
"""

HOOKS = """
# Hooks

A hook is a function of a library that the instrumentation wraps. `gluellm.instrumentation.hook.missing` counts the
hooks that the installed version lacks. For `any_llm` it is reported from `instrument()` on, for other libraries from
their import on. The log has one WARNING for each missing hook; `snapshot().process.missing_hooks` lists them. The
tables show what is not observed without a hook.

{hooks}
"""

FINDINGS = """
# Which finding hides which

A [finding](../when-calls-hang.md#findings) that another one explains is not reported for the same pool.

| if this is found | these are not reported | because |
|---|---|---|
{rows}
"""

CONFIGURATION = """
# Settings

Each setting is a keyword argument of `GlueLLMInstrumentor().instrument()` and an environment variable. The
argument takes precedence. Settings are read once, at `instrument()`.

A wrong argument raises `ValueError`, an unknown one `TypeError`. For a variable with a wrong value, the default
applies. The logger `opentelemetry.instrumentation.gluellm` warns of it, and of unknown variables that start with
`OTEL_PYTHON_GLUELLM_`. An empty variable counts as unset. In variables, words are case-insensitive, and a boolean is
`true`, `false`, `1` or `0`.

| setting | variable | default | unit | allowed |
|---|---|---|---|---|
{rows}

{descriptions}

## Other arguments and variables

`tracer_provider` and `meter_provider` are arguments as well; the global providers are the defaults.

| variable | read by | effect |
|---|---|---|
| `OTEL_METRIC_EXPORT_INTERVAL` | the SDK | the default of `peak_window` follows it |
| `OTEL_PYTHON_DISABLED_INSTRUMENTATIONS` | `opentelemetry-instrument` | `gluellm` turns this package off; `httpx`, `httpx2`, `aiohttp-client`, `urllib3`, `grpc_client` and `grpc_aio_client` exclude that instrumentation from `http_spans` |

## Limits of pools

`configure_pools()` sets limits for the pools that any-llm builds from then on. It works with and without
`instrument()`:

```python
from opentelemetry.instrumentation.gluellm.limits import configure_pools, reset_pools

configure_pools(max_connections=50, pool_timeout=10)
configure_pools(provider="bedrock", max_connections=8)
```

| argument | variable | unit | allowed |
|---|---|---|---|
{limit_rows}

With `provider`, the other arguments or variables apply to it alone. Limits that are not given stay as the client has them. `instrument()`, and so `opentelemetry-instrument`, applies the
variables; without `instrument()`, call `configure_pools()` without arguments. For each limit, the first of these
that is set counts:

1. for this provider: `configure_pools()`, then a variable
2. for all providers: `configure_pools()`, then a variable, then `apply_httpx_env`

A later `configure_pools()` keeps the limits that it does not name. `reset_pools()`
removes all limits; `uninstrument()` removes none. Wrong arguments raise `ValueError` and change nothing. Wrong variables
are logged and ignored.

What each limit becomes:

| library | `max_connections` | `max_keepalive_connections` | `keepalive_expiry` | `pool_timeout` | providers |
|---|---|---|---|---|---|
{library_rows}

- **httpx**: give `max_connections` and `max_keepalive_connections` the same value. If the latter is smaller,
  connections are [reused less often](connection-pooling.md#how-large).
- **urllib3** has one number per host, `maxsize`; `max_connections` takes precedence. Without
  `max_connections`, no request waits. So `configure_pools()` rejects `pool_timeout` alone for these providers.
- **aiohttp** has no pool timeout: its SDKs use one timeout for the queue and for connecting.
- A limit applies to one pool. any-llm's module functions build a client, and so a pool, for each call.

**Your own settings take precedence** over these limits; defaults of the SDKs do not. Your own settings are:

- a client, session or transport that you pass to any-llm. GlueLLM does this for openai and anthropic, with its
  `GLUELLM_HTTP_*` settings.
- `limits=`, `timeout=` and botocore's `config=` with `max_pool_connections`, in `AnyLLM.create` or `client_args`.
- `timeout=` of a call.

Call `configure_pools()` before `AnyLLM.create`. If an
`AnyLLM` object created earlier builds a client later, these limits replace even your own settings.

`apply_httpx_env=True` applies `HTTPX_MAX_CONNECTIONS` and `HTTPX_MAX_KEEPALIVE_CONNECTIONS`, for every library.
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


KINDS = {
    Instrument.OBSERVABLE_COUNTER: "counter",
    Instrument.OBSERVABLE_UP_DOWN_COUNTER: "up-down counter",
    Instrument.OBSERVABLE_GAUGE: "gauge",
    Instrument.HISTOGRAM: "histogram",
}
GROUPS = (
    ("Connections", "http.client.open_connections"),
    ("Requests", "http.client.active_requests"),
    ("Calls", "gluellm.call.current"),
    ("Pools, leaks and HTTP/2", "gluellm.pool.live"),
    ("gRPC channels", "gluellm.pool.channel.current"),
    ("The process", "gluellm.event_loop.late.time"),
)
"""Sections of the reference, with the first metric of each."""


def metric_row(metric: Metric) -> str:
    """One metric as a row of a table."""
    attributes = level(metric.attributes)
    if metric.opt_in_attributes:
        attributes += "; opt-in: " + ", ".join(map(code, metric.opt_in_attributes))
    description = metric.description
    if metric.buckets:
        description += f" Buckets: {' '.join(map(number, metric.buckets))}."
    kind = f"{KINDS[metric.instrument]}, {code(metric.unit)}"
    names = f"{code(metric.name)}<br>{code(prometheus.metric_name(metric))}"
    return f"| {names}<br>{kind} | {description}<br>Attributes: {attributes} |"


def metric_table(title: str, metrics: list[Metric]) -> list[str]:
    """A section with the table of some metrics."""
    head = ["| metric | meaning |", "|---|---|"]
    return ["", f"## {title}", "", *head, *map(metric_row, metrics)]


def metric_tables() -> list[str]:
    """The metrics by subject, then those that are off by default."""
    usual = [metric for metric in semconv.METRICS if not (metric.full or metric.setting)]
    names = [metric.name for metric in usual]
    begins = [names.index(first) for _, first in GROUPS]
    lines = []
    for (title, _), begin, end in zip(GROUPS, begins, [*begins[1:], len(usual)], strict=True):
        lines += metric_table(title, usual[begin:end])
    full = [metric for metric in semconv.METRICS if metric.full]
    lines += metric_table('With `metrics="full"`', full)
    for metric in semconv.METRICS:
        if metric.setting:
            lines += metric_table(f"With `{metric.setting}=True`", [metric])
    return lines


def identity_table() -> list[str]:
    """Labels that identify a process, by ingestion path."""
    rows = []
    for way, labels in prometheus.SCOPE_LABELS.items():
        scope = ", ".join(map(code, labels.values())) or "none"
        is_reader = way is prometheus.Way.READER
        own = "on `target_info` | on `target_info`" if is_reader else "`job` | `instance`"
        rows.append(f"| {way} | {own} | {scope} |")
    head = [
        "| ingestion path | `service.name` | `service.instance.id` | the scope |",
        "|---|---|---|---|",
    ]
    tail = [
        "",
        "With a `service.namespace`, `job` is `namespace/name` on the first three. VictoriaMetrics needs the",
        "relabelling file of `dashboards/dev`.",
        "Scope labels and the format of `le` (`1` or `1.0`) differ by path. In queries, use `sum by`",
        "without the scope labels, and do not select single buckets.",
    ]
    return head + rows + tail


SHOWN = (
    "How long has the oldest waiter waited?",
    "In which phase do requests spend their time?",
    "How long do requests wait (p95)?",
)
"""Questions whose queries the page shows."""


def query_section() -> list[str]:
    """Some questions with their queries."""
    lines = [
        "[`gluellm-pools verify --show-queries`](commands.md#verify) prints the boards' main queries; add `--boards`",
        "for all. Use windows of at least four export intervals. Examples:",
    ]
    for query in QUERIES:
        if query.question not in SHOWN:
            continue
        # Without matchers, an empty pair of braces and a comma behind others are left.
        promql = query.promql().replace(",}", "}").replace("{}", "")
        lines += ["", query.question, "", "```promql", promql, "```"]
    return lines


def hook_tables() -> str:
    """Return what is not observed without each hook, for each library, any-llm, GlueLLM and SDKs."""
    lost: dict[str, Mapping[str, str]] = {
        " and ".join(map(code, adapter.MODULES.values())): adapter.LOST for adapter in ADAPTERS
    }
    lost["any-llm"] = {name: ANY_LLM_LOST[name] for name in ANY_LLM_HOOKS}
    lost["GlueLLM"] = GLUELLM_LOST
    lost["openai, anthropic, groq, together, cerebras and fireworks"] = StainlessCalls.LOST
    lost["google-genai"] = GoogleCalls.LOST
    lost["mistralai"] = MistralCalls.LOST
    tables = []
    for library, signals in lost.items():
        rows = [f"| {code(name)} | {text} |" for name, text in signals.items()]
        tables.append(
            "\n".join([f"| hook of {library} | not observed without it |", "|---|---|", *rows])
        )
    return "\n\n".join(tables)


def metrics_page() -> str:
    """docs/metrics.md."""
    lines = [
        METRICS_INTRODUCTION.format(
            scope=semconv.SCOPE_NAME,
            schema=semconv.SCHEMA_URL,
            pool=", ".join(map(code, semconv.LEVEL_POOL)),
            call=" and ".join(map(code, semconv.LEVEL_CALL)),
            origin=" and ".join(map(code, semconv.LEVEL_ORIGIN[len(semconv.LEVEL_POOL) :])),
            suffixes=", ".join(map(code, prometheus.HISTOGRAM_SUFFIXES)),
            provider=semconv.PROVIDER_NAME,
            provider_label=prometheus.label_name(semconv.PROVIDER_NAME),
        ).rstrip()
    ]
    lines += metric_tables()
    lines += ["", "## Attributes", "", "| key | meaning | values |", "|---|---|---|"]
    for name, description in docstrings(semconv).items():
        key = getattr(semconv, name)
        if isinstance(key, str) and key in semconv.ATTRIBUTES:
            values = ", ".join(map(code, semconv.ATTRIBUTE_VALUES.get(key, ())))
            lines.append(f"| {code(key)} | {description} | {values} |")
    lines += [
        "",
        "Metrics have no other attributes, [spans](#spans) have more. [What is never",
        "recorded](security-and-cost.md#what-it-records).",
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
            sdks=", ".join(map(code, sorted(set(SDKS.values())))),
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


def hooks_page() -> str:
    """docs/maintainers/hooks.md."""
    return NOTICE + HOOKS.format(hooks=hook_tables())


def findings_page() -> str:
    """docs/maintainers/findings.md."""
    rules = (*table.OF_PROCESS, *table.OF_POOL)
    words = {name: condition.words for name, condition in table.CONDITIONS.items()}
    words |= {rule.name: code(next(iter(rule.explains))) for rule in rules}
    hidden: dict[table.Hidden, list[str]] = {}
    for rule in rules:
        for one in rule.hidden:
            if one.why:
                hidden.setdefault(one, []).append(words[rule.name])
    rows = []
    for one, its in hidden.items():
        by = dict.fromkeys(words[name] for name in one.by if words[name] not in its)
        but = f" Not if {words[one.but]}." if one.but else ""
        rows.append(f"| {', '.join(by)} | {', '.join(dict.fromkeys(its))} | {one.why}{but} |")
    return NOTICE + FINDINGS.format(rows="\n".join(rows))


def settings_page() -> str:
    """docs/settings.md."""
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
            "a boolean" if setting.rule is BOOLEAN else setting.rule.allowed,
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
    allowed[APPLY_HTTPX_ENV] = ("-", "a boolean")
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


def frameworks_page() -> str:
    """docs/frameworks.md. Frameworks of which the same was measured share a line."""
    rows: dict[str, dict[str, Any]] = json.loads(MEASURED.read_text(encoding="utf-8"))
    same: dict[tuple[str, ...], list[str]] = {}
    beside, tools = [], []
    for name, row in rows.items():
        kind, _, rest = name.partition(": ")
        if rest:
            tools += [rest] if kind == "tool" else []
        elif name.endswith(OTHER):
            beside.append(name.removesuffix(OTHER))
        elif row["calls"] and " installed " not in name and name != "Sentry":
            same.setdefault(tuple(_measured(row)), []).append(name)
    return FRAMEWORKS_PAGE.lstrip().format(
        rows="\n".join(
            f"| {' | '.join((', '.join(names), *cells))} |" for cells, names in same.items()
        ),
        leaks=", ".join(name for name, row in rows.items() if "leak" in row),
        tools=", ".join(tools),
        beside=", ".join(beside),
    )


def _measured(row: Mapping[str, Any]) -> Iterator[str]:
    yield ", ".join(call.replace(":", " ") for call in row["calls"])
    limits = ("no limit" if one is None else str(one) for one in row["connections"])
    yield f"{', '.join(row['pool'])}: {', '.join(limits)}"
    waits, reads = (
        ", ".join("none" if one is None else f"{one:g} s" for one in row[which])
        for which in ("pool timeout", "read timeout")
    )
    yield waits if waits == reads else f"{waits}; {reads}"
    yield ", ".join(row["line"]).replace("the framework's", "framework")


PAGES = {
    "frameworks.md": frameworks_page,
    "metrics.md": metrics_page,
    "maintainers/hooks.md": hooks_page,
    "settings.md": settings_page,
    "maintainers/findings.md": findings_page,
}


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
