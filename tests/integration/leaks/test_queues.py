"""Client churn: one client per call."""

import gc

import any_llm
import pytest

from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.providers import CHAT, arguments
from support.waiting import until

from .reports import call_site

CHURN = (
    r"Client churn on (?P<pool>\S+): (?P<pools>\d+) connection pools for one origin in the last "
    r"minute: 1\.0 per call, (?P<requests>[\d.]+) requests per pool, .*They are built at "
    r"(?P<call_site>.*?)\. Keep one instance, llm = AnyLLM\.create\(\"(?P<provider>\w+)\"\), .*"
)

pytestmark = pytest.mark.anyio


@pytest.mark.usefixtures("clock")
async def test_client_churn_is_logged_with_numbers_call_site_and_advice(server, telemetry, reports):
    """Each client is built by a call of any-llm."""
    chat = {**arguments("anthropic", server), **CHAT}

    async def build() -> None:
        for _ in range(12):
            await any_llm.acompletion("anthropic:m", **chat)  # place: churn
        # So few clients count as churn only if half of them are gone. Each is in a cycle, and the
        # time of the next automatic collection depends on earlier tests.
        gc.collect()

    await build()
    await until(lambda: reports.warnings(CHURN), "the warning")
    (warning,) = reports.warnings(CHURN)
    assert warning["pool"] == "anthropic/httpx"
    assert 10 <= int(warning["pools"]) <= 12
    assert float(warning["requests"]) == 1.0
    name = test_client_churn_is_logged_with_numbers_call_site_and_advice.__name__
    assert warning["call_site"] == call_site(__file__, "churn", f"{name}.<locals>.build")
    assert warning["provider"] == "anthropic"
    assert len(reports.warnings()) == 1
    assert telemetry.value(semconv.POOL_OPENED) == 12
