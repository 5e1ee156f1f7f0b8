"""More requests at a time than the server, or the limit of the account, serves."""

from typing import Any

import pytest

from gluellm_diagnosis.diagnose import diagnose
from gluellm_diagnosis.findings import Kind, Severity
from opentelemetry.instrumentation.gluellm.snapshots.parts import Account, AccountRow, Answer

from .building import ORIGIN, a_pool, a_request, a_snapshot, the_totals

SITE = "/srv/app/batch.py:3 in embed_documents"


def a_row(since: float, until: float, sent: int, served: int, held: float) -> AccountRow:
    """Requests that were sent and served meanwhile, and how many waited at a time."""
    time = held * (until - since)
    items: Any = {("entered",): sent, ("left", 200, None, False): served}
    items["phase", "awaiting_response"] = time
    return AccountRow(
        since=since, until=until, numbers={("openai/httpx2", ORIGIN, "openai"): items}
    )


def answered(head: float, *, first: int = 20, last: int = 0, model: str = "") -> list[Answer]:
    """An answer in each of these seconds ago."""
    site = None if model else SITE
    return [Answer(ago, model or "gpt-4o", head, 0.0, 0, 1, site) for ago in range(first, last, -1)]


def served_few(sent: int = 100, served: int = 40, rate: int = 1, **changes: Any) -> dict[str, Any]:
    """A server answers one request a second, also once 40 wait in place of one."""
    rows = (a_row(0, 40, 40, served, 1.0), a_row(40, 100, sent, 60, 30.0))
    request = a_request("awaiting_response", 20.0, call_site=SITE, number=40)
    sign = {
        "requests": [request],
        "answers": [one._replace(number=rate) for one in answered(30.0)],
        "totals": {"earlier_answers": answered(1.0, first=95, last=90)},
        "process": {"account": Account(row=60.0, rows=rows)},
    }
    return {**sign, **changes}


def queues(sign: dict[str, Any]) -> list[Any]:
    totals = the_totals(100, answers=sign["answers"], **sign["totals"])
    pool = a_pool(sign["requests"], max_connections=100)
    findings = diagnose(a_snapshot(totals, pool, **sign["process"]))
    return [one for one in findings if one.kind is Kind.QUEUE_AT_PROVIDER]


def test_queue_at_server_says_how_many_wait_from_where_and_how_many_are_served():
    """A longer timeout and a larger pool make the queue longer."""
    (finding,) = queues(served_few())
    assert finding.severity is Severity.ERROR
    assert "at a steady 1/s" in finding.observed
    assert "rose from 1 to 40, and each takes about 40 s (before: 1.0 s)" in finding.observed
    (fact,) = finding.evidence
    assert (fact.value, fact.of, fact.call_site) == (40, 40, SITE)
    assert "fewer of these at a time (asyncio.Semaphore): about 1 keep" in finding.advice


@pytest.mark.parametrize(
    "sign",
    [
        pytest.param(served_few(sent=60), id="no more were sent, so each takes longer"),
        pytest.param(served_few(sent=250, served=80), id="the server answers fewer than before"),
        pytest.param(served_few(rate=20), id="the server answers the more, the more wait"),
        pytest.param(served_few(answers=answered(30.0, first=10)), id="too few answers"),
        pytest.param(
            served_few(answers=[*answered(30.0), *answered(30.0, first=8)]),
            id="more answers come than a moment ago",
        ),
        pytest.param(
            served_few(answers=[*answered(1.0, model="o3"), *answered(30.0)])
            | {"totals": {"earlier_answers": answered(1.0, first=95, last=90, model="o3")}},
            id="other requests are as quick as before",
        ),
        pytest.param(
            served_few(requests=[a_request("awaiting_response", 20.0, number=3, call_site=SITE)]),
            id="few wait",
        ),
    ],
)
def test_other_reasons_for_long_waits_are_no_queue(sign):
    """Each differs in one fact from the queue."""
    assert queues(sign) == []


def test_queue_is_found_while_it_lasts():
    """Also when the minute in which it began is over, and an hour later."""
    later = [a_row(100 + 60 * n, 160 + 60 * n, 60, 60, 40.0) for n in range(70)]
    sign = served_few()
    rows = (*sign["process"]["account"].rows, *later)
    for account in (
        Account(row=60.0, rows=rows[:20]),
        Account(row=60.0, rows=rows[-60:], before=rows[:2], before_until=100.0),
    ):
        uptime = account.rows[-1].until
        assert queues(served_few(process={"account": account, "uptime": uptime}))
