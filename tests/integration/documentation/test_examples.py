"""The documentation's complete programs run unchanged against a fake provider."""

import re
from pathlib import Path

import pytest

from gluellm_pools.fake_provider import FakeProviderThread
from support.programs import run_code, run_with_gluellm

ROOT = Path(__file__).parents[3]

pytest.importorskip("any_llm")


def programs(page: str) -> list[str]:
    """Return the Python blocks of a page that make a call."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
    return [block for block in blocks if "AnyLLM.create" in block or "OpenAI(" in block]


@pytest.mark.parametrize("page", ["README.md", "docs/start.md", "docs/connection-pooling.md"])
def test_example_runs_unchanged(page):
    """The printed snapshot has the pool of the call."""
    (program,) = programs(page)
    with FakeProviderThread() as provider:
        finished = run_code(program, OPENAI_API_KEY="any", OPENAI_BASE_URL=provider.openai_url)
    calls = provider.counts.completed  # after the provider's thread has ended, so all count
    assert calls == (3 if page == "docs/start.md" else 1)
    limit = 50 if "max_connections=50" in program else 1000
    # Calls that are sent at once can use one connection after the other.
    (idle,) = re.findall(
        rf"openai/httpx2: 0 active, 0 connecting, (\d) idle of {limit} connections", finished.stdout
    )
    assert ("stream=True" not in program) <= int(idle) <= calls  # a sync stream keeps none


def test_page_on_a_slow_call_has_the_examples_span():
    """The example's span has the attributes that the page shows. Its pauses are shorter here."""
    program = (ROOT / "docs/examples/forty_seconds.py").read_text()
    for slow, quick in {
        "RETRY_AFTER = 14.0": "RETRY_AFTER = 0.3",
        "ANSWER_AFTER = 11.0": "ANSWER_AFTER = 0.3",
        "LOOK_AFTER = 20.0": "LOOK_AFTER = 0.4",
    }.items():
        assert slow in program
        program = program.replace(slow, quick)
    finished = run_code(program)
    page = (ROOT / "docs/where-40-seconds-go.md").read_text()
    (shown,) = re.findall(r"^gluellm\.call .*?(?=\n```)", page, re.DOTALL | re.MULTILINE)
    (printed,) = re.findall(r"^gluellm\.call .*", finished.stdout.strip(), re.DOTALL | re.MULTILINE)
    blurred = [re.sub(r" [0-9.]+", " #", text) for text in (shown, printed)]
    assert blurred[0] == blurred[1]
    call, requesting, pauses = (
        float(*re.findall(rf"{name} ([0-9.]+)", printed)) for name in ("call", "requesting", "off")
    )
    assert 0.59 <= pauses <= call - requesting + 0.1


def test_guides_sizing_example_matches_the_load():
    """The example prints the guide's lines, with a size that fits the load. It runs faster here."""
    program = (ROOT / "docs/examples/sizing.py").read_text()
    for slow, quick in {
        "ARRIVALS_PER_SECOND = 20.0": "ARRIVALS_PER_SECOND = 60.0",
        "\nSECONDS = 10.0": "\nSECONDS = 1.5",
        "head_delay=0.9, jitter=0.2": "head_delay=0.3, jitter=0.07",
    }.items():
        assert slow in program
        program = program.replace(slow, quick)
    finished = run_code(program)
    page = (ROOT / "docs/connection-pooling.md").read_text()
    printed = re.sub(r"[0-9.]+ ", "# ", finished.stdout)
    assert printed.strip() in re.sub(r"[0-9.]+ ", "# ", page)
    (mean,) = re.findall(r"= ([0-9.]+) connections", finished.stdout)
    (enough,) = re.findall(r"time +(\d+) connections", finished.stdout)
    # 60 per second for 0.3 s need 18. On a busy machine, fewer arrive, or they take longer.
    assert 1 < float(mean) < 60
    # Normal approximation of the 99 % quantile.
    assert int(enough) == pytest.approx(float(mean) + 2.33 * float(mean) ** 0.5, abs=2)


GUIDE = ROOT / "docs/connection-pooling.md"
FACTS = """
import atexit
from gluellm.api import _build_provider_http_client as build
from gluellm.config import settings

@atexit.register
def print_defaults():
    pool = build()._transport._pool
    print(pool._max_connections, pool._max_keepalive_connections, pool._keepalive_expiry)
    print(settings.default_request_timeout, settings.default_connect_timeout)
    print(settings.default_pool_timeout)
"""


@pytest.mark.all_sdks
def test_example_of_gluellms_timeouts_runs_unchanged(tmp_path):
    """GlueLLM's defaults are the page's."""
    pytest.importorskip("gluellm")
    blocks = re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    (program,) = (block for block in blocks if "request_timeout=" in block)
    with FakeProviderThread() as provider:
        finished = run_with_gluellm(FACTS + program, home=tmp_path, server=provider)
    answer, pool, timeouts, wait = finished.stdout.splitlines()
    assert answer.startswith("w0 w1")
    assert (pool, timeouts, wait) == ("50 50 5.0", "300.0 30.0", "60.0")
