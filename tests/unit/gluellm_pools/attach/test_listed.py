"""Snapshots of what the pools of a process list."""

from typing import Any

import pytest

from gluellm_pools.attach.listed import listed_snapshot, with_unread

SILENT = 60_000


def connection(**changes: Any) -> dict[str, Any]:
    """A connection as a listing has it, whose last byte arrived a minute ago."""
    info = bytearray(256)
    info[52:56] = SILENT.to_bytes(4, "little")
    return {
        "host": "api.openai.com",
        "port": None,
        "secure": True,
        "state": "active",
        "protocol": "1.1",
        "requests_served": 0,
        "held_before": "reading",
        "tcp": {"info": info.hex(), "keepalive": False},
        **changes,
    }


def look(*connections: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """What the program has found: one pool."""
    pool = {
        "library": "httpx2",
        "max_connections": 2,
        "in_flight": len(connections) + 1,
        "queued": 1,
        "connections": list(connections),
        **changes,
    }
    return {"pools": [pool], "modules": ["any_llm"]}


def test_a_pool_has_the_provider_of_its_host():
    """As one that is observed."""
    (pool,) = listed_snapshot(look(connection()), 1).pools
    assert (pool.label, pool.provider, pool.queued_before) == ("openai/httpx2", "openai", 1)
    (one,) = pool.connections
    assert (one.origin, one.silence) == ("api.openai.com:443", 60.0)


def test_a_host_that_is_none_is_not_reported():
    """It may be a key or a URL."""
    (pool,) = listed_snapshot(look(connection(host="sk-secret/with?key")), 1).pools
    assert "secret" not in str(pool)


def test_closed_connections_and_missing_tcp_states_are_left_out():
    """The latter are those of other systems and libraries."""
    (pool,) = listed_snapshot(look(connection(state="closed"), connection(tcp=None)), 1).pools
    (one,) = pool.connections
    assert (one.silence, one.peer) == (None, None)


@pytest.mark.parametrize(("readers", "unread"), [(0, 2), (1, 1), (2, 0), (9, 0)])
def test_answers_without_a_reader_are_unread(readers, unread):
    """A task or thread that waits for bytes can be the reader of any of them."""
    held = (connection(), connection(), connection(held_before="awaiting_response"))
    (pool,) = with_unread(listed_snapshot(look(*held), 1), readers).pools
    assert [one.held_before for one in pool.connections].count("unread") == unread


def test_an_answer_that_arrives_is_read():
    """Its reader works on what it has read, and does not wait."""
    tcp = {"info": bytes(256).hex(), "keepalive": False}
    (pool,) = with_unread(listed_snapshot(look(connection(tcp=tcp)), 1), 0).pools
    assert pool.connections[0].held_before == "reading"
