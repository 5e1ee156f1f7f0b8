"""Set-ups that were broken and are repaired: the command sees it within a few intervals."""

from __future__ import annotations

import pytest

from e2e.programs import Stack
from support.waiting import wait_until

from .conftest import Run, Verify, arrived, end

pytest.importorskip("any_llm")

_SEVERAL = "count_over_time(gluellm_pool_lease_duration_seconds_count[1m]) > 3"
_SHARED = {"service.name": "answers", "service.instance.id": "the-one"}
_CURED_WITHIN = 60.0


def _green(verify: Verify, url: str) -> str:
    """The report, once it is good."""
    told = ""

    def good() -> bool:
        nonlocal told
        status, told = verify(url)
        return status == 0

    wait_until(good, "verify is good", _CURED_WITHIN)
    return told


def test_honor_labels_cure_is_seen(stack: Stack, run: Run, verify: Verify):
    """The series with exported labels have ended, and are told as past."""
    configuration = stack.prometheus_scraping.configuration
    right = configuration.read_text()
    configuration.write_text(right.replace("honor_labels: true", "honor_labels: false"))
    stack.start("collector", "prometheus_scraping")
    run(endpoint=stack.collector.http_endpoint)
    store = stack.prometheus_scraping
    arrived(store, _SEVERAL)
    status, text = verify(store.url)
    assert status == 1
    assert "ERROR: labels exported" in text, text
    store.stop()
    configuration.write_text(right)
    store.start()
    text = _green(verify, store.url)
    assert "INFO: labels exported seen: until" in text, text
    assert "the newest samples are right" in text


def test_a_collision_that_has_ended_is_past(stack: Stack, run: Run, verify: Verify):
    """Both start anew, each with its own instance; the falls stay in the window."""
    stack.start("prometheus_otlp")
    store = stack.prometheus_otlp
    both = [run(endpoint=store.otlp_endpoint, resource=_SHARED) for _ in range(2)]
    arrived(store, "resets(gluellm_pool_requests_total[1m]) > 4")
    status, text = verify(store.url)
    assert status == 1
    assert "ERROR: processes collide" in text, text
    for process in both:
        end(process)
    for _ in both:
        run(endpoint=store.otlp_endpoint)
    text = _green(verify, store.url)
    assert "INFO: processes collide seen: until" in text, text
