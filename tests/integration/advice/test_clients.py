"""Advice matches the kind of client."""

import asyncio
import contextlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from gluellm_diagnosis.advice.advisor import advisor_for, without_retries
from gluellm_pools.fake_provider import Behaviour, FakeProvider
from opentelemetry.instrumentation.gluellm import Snapshot, diagnose, snapshot

httpx2: Any = pytest.importorskip("httpx2")
BODY = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


def ask(http: Any, provider: FakeProvider) -> None:
    """Make one call."""
    url = f"{provider.openai_url}/chat/completions"
    http.post(url, json=BODY, headers={"authorization": "Bearer any"}).raise_for_status()


def advised(kind: str, now: Snapshot) -> str:
    """Return the advice of the only finding of this kind."""
    (finding,) = [finding for finding in diagnose(now) if finding.kind == kind]
    return finding.advice


def test_synchronous_client_gets_advice_for_a_synchronous_client(provider):
    """The program uses httpx2.Client and has no event loop."""
    provider.behaviour = Behaviour(head_delay=0.1)
    limits = httpx2.Limits(max_connections=2)
    with httpx2.Client(limits=limits, trust_env=False) as http, ThreadPoolExecutor(8) as threads:
        for done in [threads.submit(ask, http, provider) for _ in range(24)]:
            done.result()
        advice = advised("pool_too_small", snapshot())
    assert advice.startswith("Allow ")
    assert ": httpx2.Client(limits=httpx2.Limits(max_connections=" in advice
    assert "Async" not in advice


def test_churn_of_synchronous_clients_advises_to_keep_one(provider):
    for _ in range(12):
        with httpx2.Client(trust_env=False) as http:
            ask(http, provider)
    assert advised("client_churn", snapshot()).startswith("Build one httpx2.Client when")


def settings_of(*lines: str) -> dict[str, Any]:
    """Return the arguments of an SDK's client that lines of advice name, run as printed."""
    settings: dict[str, Any] = {}
    for line in lines:
        code, _, takes = line.rpartition(", which the SDK's client takes as ")
        takes = takes.partition(" of ")[0].rpartition("milliseconds: ")[2]
        takes = takes.replace("...", code) if "..." in takes or not code else takes + code
        for name, value in eval(f"dict({takes})", {"httpx2": httpx2}).items():
            old = settings.get(name)
            settings[name] = {**old, **value} if isinstance(old, dict) else value
    return settings


@pytest.mark.all_sdks
@pytest.mark.parametrize("synchronous", [False, True])
@pytest.mark.parametrize("sdk", ["gemini", "mistral"])
def test_every_line_for_googles_and_mistrals_sdk_has_its_effect(sdk, synchronous, provider):
    """The timeout replaces that of the HTTP client. Both SDKs read it in milliseconds."""
    advisor = advisor_for(sdk, "httpx2", gluellm=False, synchronous=synchronous, any_llm=False)
    lines = (advisor.keep_idle(3, 40), advisor.read_at_most(90, 40), without_retries(sdk))
    settings = settings_of(*lines)
    with contextlib.suppress(Exception):  # the provider knows no such path
        if sdk == "gemini":
            genai: Any = pytest.importorskip("google.genai")
            settings["http_options"]["base_url"] = provider.openai_url
            client = genai.Client(api_key="any", **settings)
            asked = {"model": "m", "contents": "hi"}
            if synchronous:
                client.models.generate_content(**asked)
            else:
                asyncio.run(client.aio.models.generate_content(**asked))
        else:
            mistral: Any = pytest.importorskip("mistralai.client")
            client = mistral.Mistral(api_key="any", server_url=provider.openai_url, **settings)
            if synchronous:
                client.chat.complete(**BODY)
            else:
                asyncio.run(client.chat.complete_async(**BODY))
    (pool,) = snapshot().pools
    assert (pool.max_connections, pool.keepalive_expiry) == (40, 3)
    assert (pool.read_timeout, pool.pool_timeout) == (90, 90)
    assert provider.counts.requests == 1
