"""Sources of limits: calls, providers, environment variables."""

import asyncio
from typing import Any

import pytest

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor, snapshot
from opentelemetry.instrumentation.gluellm.environment import LIMIT_VARIABLES
from opentelemetry.instrumentation.gluellm.limits import configure_pools, reset_pools
from support.programs import run_code

from .calls import built, create, limits_from, maximum

pytest.importorskip("any_llm")


def limits_of(provider: str, origin: str, **more: Any) -> tuple[int | None, str | None]:
    """Return the limit of a new instance's pool, and its source."""
    with built() as pools:
        llm = create(provider, origin, **more)
    (pool,) = pools
    del llm
    return maximum(pool), limits_from(pool)


@pytest.mark.all_sdks
def test_limit_for_a_provider_wins_over_one_for_all(llms):
    """This is true for each value and in either order of the calls."""
    configure_pools(provider="openai", max_connections=5)
    configure_pools(max_connections=9, keepalive_expiry=2)
    configure_pools(provider="groq", keepalive_expiry=3)
    number, origin = limits_of("openai", llms.origin)
    assert number == 5
    assert origin == (
        'configure_pools(provider="openai", max_connections=5); configure_pools(keepalive_expiry=2)'
    )
    assert limits_of("anthropic", llms.origin) == (
        9,
        "configure_pools(max_connections=9, keepalive_expiry=2)",
    )
    assert limits_of("groq", llms.origin)[0] == 9


def test_later_call_changes_only_pools_that_are_built_after_it(llms):
    """Existing pools keep their limits. Values that the later call omits still apply."""
    configure_pools(max_connections=5, keepalive_expiry=2)
    with built() as pools:
        first = create("openai", llms.origin)
    configure_pools(max_connections=6)
    assert limits_of("openai", llms.origin) == (
        6,
        "configure_pools(max_connections=6, keepalive_expiry=2)",
    )
    assert [maximum(pool) for pool in pools] == [5]
    del first


def test_reset_pools_restores_the_sdks_defaults(llms):
    configure_pools(max_connections=5)
    configure_pools(provider="openai", max_connections=6)
    reset_pools()
    assert limits_of("openai", llms.origin) == (1000, None)


def test_limits_do_not_apply_to_the_applications_own_pools(llms):
    import httpx

    configure_pools(max_connections=5)
    with built() as pools:
        client = httpx.AsyncClient()
    assert [maximum(pool) for pool in pools] == [100]
    del client


def test_limits_apply_to_both_clients_of_a_provider(llms):
    """deepseek has a client of openai's SDK and one of anthropic's."""
    configure_pools(provider="deepseek", max_connections=5)
    with built() as pools:
        llm = create("deepseek", llms.origin)
    assert [maximum(pool) for pool in pools] == [5, 5]
    assert {type(pool).__module__.split(".")[0] for pool in pools} == {"httpcore", "httpcore2"}
    del llm


def test_limits_apply_to_any_llms_module_functions(llms):
    """They build a client with the limit for each call, in the sync API as well."""
    import any_llm

    configure_pools(max_connections=5)
    GlueLLMInstrumentor().instrument()
    seen: list[int | None] = []
    llms.slow.look = lambda _: seen.extend(pool.max_connections for pool in snapshot().pools)
    chat = {
        "model": "model-1",
        "provider": "openai",
        "api_key": "any",
        "api_base": f"{llms.origin}/v1",
        "messages": [{"role": "user", "content": "hi"}],
    }
    asyncio.run(any_llm.acompletion(**chat))
    assert seen[-1:] == [5]
    any_llm.completion(**chat)
    assert seen[-1:] == [5]


def test_limits_come_from_environment_variables(monkeypatch, llms):
    """``configure_pools()`` without an argument reads them. Limits from code win."""
    monkeypatch.setenv(LIMIT_VARIABLES["max_connections"], "4")
    monkeypatch.setenv(LIMIT_VARIABLES["pool_timeout"], "2.5")
    configure_pools()
    assert limits_of("openai", llms.origin) == (
        4,
        "OTEL_PYTHON_GLUELLM_POOL_MAX_CONNECTIONS=4; OTEL_PYTHON_GLUELLM_POOL_TIMEOUT=2.5",
    )
    configure_pools(max_connections=6)
    configure_pools()
    assert limits_of("openai", llms.origin) == (
        6,
        "configure_pools(max_connections=6); OTEL_PYTHON_GLUELLM_POOL_TIMEOUT=2.5",
    )


def test_variable_with_a_provider_applies_only_to_it(monkeypatch, llms):
    """It wins over a limit from code for all providers."""
    monkeypatch.setenv(LIMIT_VARIABLES["max_connections"], "4")
    monkeypatch.setenv(LIMIT_VARIABLES["provider"], "anthropic")
    configure_pools()
    assert limits_of("anthropic", llms.origin)[0] == 4
    assert limits_of("openai", llms.origin)[0] == 1000
    configure_pools(max_connections=9)
    assert limits_of("anthropic", llms.origin)[0] == 4
    assert limits_of("openai", llms.origin)[0] == 9


@pytest.mark.parametrize(
    ("variables", "warning", "number"),
    [
        (
            {"max_connections": "many"},
            "POOL_MAX_CONNECTIONS is not used: 'many' is not a whole number",
            1000,
        ),
        ({"max_connections": "0"}, "is not used: '0' is not a whole number", 1000),
        (
            {"max_connections": "4", "max_keepalive_connections": "5"},
            "POOL_MAX_KEEPALIVE_CONNECTIONS is not used",
            4,
        ),
        ({"max_connections": "4", "provider": "opnai"}, "Did you mean 'openai'", 1000),
        ({"max_connections": "4", "apply_httpx_env": "perhaps"}, "allowed is true, false", 4),
        ({"provider": "xai", "max_connections": "4"}, "runs on gRPC", 1000),
    ],
)
def test_wrong_variable_is_logged_and_ignored(
    variables, warning, number, monkeypatch, caplog, llms
):
    """The program starts, and correct variables still apply."""
    for name, text in variables.items():
        monkeypatch.setenv(LIMIT_VARIABLES[name], text)
    GlueLLMInstrumentor().instrument()
    GlueLLMInstrumentor().uninstrument()
    GlueLLMInstrumentor().instrument()
    assert [record.levelname for record in caplog.records if warning in record.message] == [
        "WARNING"
    ]
    assert limits_of("openai", llms.origin)[0] == number


def test_apply_httpx_env_applies_the_httpx_variables(monkeypatch, llms, caplog):
    """They have the lowest priority of all sources."""
    monkeypatch.setenv("HTTPX_MAX_CONNECTIONS", "4")
    monkeypatch.setenv("HTTPX_MAX_KEEPALIVE_CONNECTIONS", "2")
    GlueLLMInstrumentor().instrument()
    assert limits_of("openai", llms.origin) == (1000, None)
    assert len(snapshot().process.ignored_variables) == 2
    configure_pools(apply_httpx_env=True)
    assert limits_of("openai", llms.origin) == (
        4,
        "HTTPX_MAX_CONNECTIONS=4; HTTPX_MAX_KEEPALIVE_CONNECTIONS=2",
    )
    assert snapshot().process.ignored_variables == ()
    configure_pools(max_connections=6)
    assert limits_of("openai", llms.origin)[0] == 6
    reset_pools()
    assert len(snapshot().process.ignored_variables) == 2
    monkeypatch.setenv("HTTPX_MAX_CONNECTIONS", "lots")
    configure_pools(apply_httpx_env=True)
    assert "HTTPX_MAX_CONNECTIONS is not used" in caplog.text
    assert snapshot().process.ignored_variables == ("HTTPX_MAX_CONNECTIONS",)
    assert limits_of("openai", llms.origin) == (1000, "HTTPX_MAX_KEEPALIVE_CONNECTIONS=2")


def test_limits_are_imported_when_configured_and_do_not_import_any_llm():
    """``instrument()`` imports the limits only if a variable configures them.

    Limits are applied when the program imports any-llm, also with a known provider. They are kept
    after ``uninstrument()``.
    """
    program = """
        import os, sys
        import opentelemetry.instrumentation.gluellm as package

        def instrument(asked):
            if asked:
                os.environ["HTTPX_MAX_CONNECTIONS"] = "6"
                os.environ[sys.argv[1]] = asked
            package.GlueLLMInstrumentor().instrument()

        def imported(*names):
            print(*(name in sys.modules for name in names))

        for asked in (None, "false"):
            instrument(asked)
            imported(package.__name__ + ".limits")
            package.GlueLLMInstrumentor().uninstrument()
        instrument("true")
        imported(package.__name__ + ".limits", "any_llm", "httpcore2")
        package.GlueLLMInstrumentor().uninstrument()

        from opentelemetry.instrumentation.gluellm.limits import configure_pools, reset_pools
        reset_pools()
        configure_pools(max_connections=4)
        configure_pools(provider="openai", max_connections=5)
        imported("any_llm", "httpcore2")
        from any_llm import AnyLLM

        def limit():
            client = AnyLLM.create("openai", api_key="any").client._client
            return client._transport._pool._max_connections

        print(limit())
        reset_pools()
        for asked in ("false", "true"):
            instrument(asked)
            print(limit())
            package.GlueLLMInstrumentor().uninstrument()
        print(limit())
    """
    done = run_code(program, LIMIT_VARIABLES["apply_httpx_env"])
    imports = ["False", "False", "True False False", "False False"]
    assert done.stdout.splitlines() == [*imports, "5", "1000", "6", "6"]


def test_configure_pools_without_any_llm_raises_import_error():
    """Limits from the environment are ignored then."""
    program = """
        import sys
        sys.modules["any_llm"] = None
        from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor
        GlueLLMInstrumentor().instrument()
        from opentelemetry.instrumentation.gluellm.limits import configure_pools
        try:
            configure_pools(max_connections=4)
        except ImportError as error:
            print(error)
    """
    variable = {LIMIT_VARIABLES["max_connections"]: "4"}
    assert "Install any-llm-sdk" in run_code(program, **variable).stdout
