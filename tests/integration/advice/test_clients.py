"""Advice matches the kind of client."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

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
