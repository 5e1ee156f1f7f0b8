"""Client churn: one client per call."""

import any_llm
import pytest

from opentelemetry.instrumentation.gluellm import diagnose, snapshot
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.providers import CHAT, arguments

from .reports import call_site

pytestmark = pytest.mark.anyio


@pytest.mark.usefixtures("clock")
async def test_client_churn_is_found_with_numbers_call_site_and_advice(server, telemetry):
    """Each client is built by a call of any-llm."""
    chat = {**arguments("anthropic", server), **CHAT}

    async def build() -> None:
        for _ in range(12):
            await any_llm.acompletion("anthropic:m", **chat)  # place: churn

    await build()
    (churn,) = (found for found in diagnose(snapshot()) if found.kind == "client_churn")
    assert churn.pool == "anthropic/httpx"
    assert churn.observed.startswith("12 pools opened for 12 requests (1.0 per pool)")
    line = call_site(__file__, "churn", "build").partition(" in ")[0].rpartition("/")[2]
    assert f"{line} in " in churn.observed
    assert churn.advice.startswith('Keep one instance, llm = AnyLLM.create("anthropic")')
    assert telemetry.value(semconv.POOL_OPENED) == 12
