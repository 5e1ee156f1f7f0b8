"""The demo's screen on a small terminal."""

import io

from gluellm_diagnosis.findings import Kind
from gluellm_pools.demo.screen import Screen
from gluellm_pools.demo.verdict import cause_of
from gluellm_pools.screens import Terminal
from gluellm_pools.view import PoolKey, ShownFinding, View
from unit.gluellm_diagnosis.building import a_pool, a_request, a_snapshot, found, the_totals


def test_verdict_on_a_leak_names_its_line_on_80_columns():
    """It has five lines, and its text fits."""
    call_site = "/opt/lib/gluellm_pools/demo/faults.py:75 in _never_read"
    unread = [a_request("unread", 5.0, leak_suspected=True, call_site=call_site)] * 4
    snapshot = a_snapshot(the_totals(leaks=4), a_pool(unread, max_connections=4))
    pool = PoolKey("openai", "httpx2")
    leak = ShownFinding("error", "leak", found(Kind.LEAK, snapshot).observed)
    verdict = {
        "what callers see": "calls to openai now take ~1 s, and all fail",
        "at fault": cause_of(View(judgements=1, findings={pool: [leak]}), [pool], ()).text,
    }
    assert "gluellm_pools/demo/faults.py:75 in _never_read" in shown(verdict)


def test_a_long_verdict_ends_with_a_whole_sentence():
    """One without a sentence's end is cut anywhere."""
    text = shown({"at fault": "the pool. " + "It is too small. " * 40})
    assert "too small. It" in text
    assert "..." not in text
    assert "..." in shown({"at fault": "small " * 200})


def shown(verdict: dict[str, str]) -> str:
    out = io.StringIO()
    console = Terminal(file=out, width=80, height=24, force_terminal=True, color_system=None)
    with Screen(console, "act", "line", []) as screen:
        screen.show(0.0, verdict, View())
    return " ".join(out.getvalue().split())
