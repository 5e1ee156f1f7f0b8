"""What a pool lists without having been tracked, as ``doctor --attach`` reads it."""

import importlib

import pytest

from support.script import Reply
from support.waiting import wait_until

LISTINGS = {"httpx": "httpcore", "httpx2": "httpcore"}
PACKAGE = "opentelemetry.instrumentation.gluellm.adapters"


def test_holders_and_queue_are_listed_without_a_tracker(runner, library, server):
    """urllib3 does not list the connections in use, so their phase is unknown."""
    if library.name == "grpc":
        pytest.skip("a channel lists nothing")
    folder = LISTINGS.get(library.name, library.name)
    listed = importlib.import_module(f"{PACKAGE}.{folder}.listing").listed
    pool = runner.pool(library, max_connections=1)
    head, body = server.gate(), server.gate()
    first = pool.send(server.reply("/", Reply(head_after=head, end_after=body), Reply()))
    wait_until(lambda: listed(pool.core)["in_flight"] == 1)
    second = pool.send(server.url())
    wait_until(lambda: pool.queued == 1)

    def held() -> list[tuple[str, str | None]]:
        return [(one["state"], one["held_before"]) for one in listed(pool.core)["connections"]]

    unlisted = library.name == "urllib3"
    wait_until(lambda: held() == [("active", "" if unlisted else "awaiting_response")])
    found = listed(pool.core)
    assert (found["max_connections"], found["in_flight"], found["queued"]) == (1, 2, 1)
    head.open()
    first.head()
    wait_until(lambda: held() == [("active", "" if unlisted else "reading")])
    body.open()
    assert first.read() == b"ok"
    assert second.read() == b"ok"
    wait_until(lambda: held() == [("idle", None)])
    found = listed(pool.core)
    assert (found["in_flight"], found["queued"]) == (0, 0)
    one = found["connections"][0]
    assert one["port"] == server.port
    assert one["host"] in server.url()
