"""Descriptions of a pool and its holders: short, on one line, and nothing private."""

import pytest
from opentelemetry.trace import SpanContext

from opentelemetry.instrumentation.gluellm.pool.call import Call
from opentelemetry.instrumentation.gluellm.pool.call_site import find
from opentelemetry.instrumentation.gluellm.pool.describe import (
    LONGEST,
    holders,
    label,
    state,
    trace_id,
    whose,
)
from opentelemetry.instrumentation.gluellm.pool.lease import ConnectionView
from opentelemetry.instrumentation.gluellm.text import call_site_text, one_line
from unit.pool.fakes import FakePool

# Text from outside


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("gpt-4o", "gpt-4o"),
        ("two\nlines", "two?lines"),
        ("\x1b[31mred\r\x00", "?[31mred??"),
        ("right\u202eto left", "right?to left"),
        ("\u200bzero width\x9b", "?zero width?"),
        ("line\u2028separator\x85", "line?separator?"),
        ("größe 模型", "größe 模型"),
        ("", ""),
        (7, "7"),
    ],
)
def test_any_name_is_described_on_one_line(text, expected):
    """The name of a model or of a pool can be any text."""
    assert one_line(text) == expected


def test_long_text_is_cut_and_a_long_call_site_keeps_its_end():
    """A prompt that was passed as a model does not fill the log."""
    assert one_line("a" * 200, LONGEST) == "a" * 200
    assert one_line("a" * 201, LONGEST) == "a" * 197 + "..."
    end = "module.py:7 in call"
    assert call_site_text(end, LONGEST) == end
    assert (
        call_site_text("/srv/" + "deep/" * 50 + end, LONGEST) == "..." + ("deep/" * 50 + end)[-197:]
    )
    assert call_site_text("a\nb" * 100, LONGEST).isprintable()


# The pool


def test_label_is_name_and_library(scene):
    assert label(scene.tracker) == "openai/httpx2"
    pool = FakePool()
    assert label(scene.track(pool, "na\nme", None)) == "na?me/httpx2"


def test_state_has_limit_and_counts_as_far_as_they_are_known(scene):
    for kind in ("active", "active", "idle", "connecting"):
        record = scene.connection(established=True)
        scene.pool.views.append(ConnectionView(record, kind, False, None))
    scene.queue()
    assert state(scene.tracker) == "max 10, active 2, idle 1, connecting 1, queued 1"
    scene.pool.maximum = None
    assert state(scene.tracker).startswith("max unlimited, ")
    scene.tracker.reference = None
    assert state(scene.tracker) == "queued 1"


# Holders


def test_description_has_the_three_longest_holders(scene):
    """They have their age since the acquire, their phase and its age."""
    waiter = scene.queue()
    for model in ("a", "b", "c", "d"):
        scene.acquire(call=Call("groq", model))
        scene.clock.advance(10)
    assert holders(scene.tracker, scene.clock()) == (
        "longest holders: (1) 40 s, awaiting_response for 40 s, provider groq, model a; "
        "(2) 30 s, awaiting_response for 30 s, provider groq, model b; "
        "(3) 20 s, awaiting_response for 20 s, provider groq, model c"
    )
    for lease in list(scene.tracker.leases)[1:]:
        scene.tracker.released(lease)
    scene.tracker.assigned(waiter, scene.connection(established=True))
    scene.clock.advance(1)
    assert holders(scene.tracker, scene.clock()).startswith("longest holders: (1) 1.0 s, ")


def test_waiting_and_refused_requests_are_not_holders(scene):
    """A request that has ended is not a holder either."""
    scene.queue()
    scene.tracker.requeued(scene.acquire())
    scene.tracker.released(scene.acquire())
    assert holders(scene.tracker, scene.clock()) == "no connection is held"


def test_lease_that_is_refused_while_it_is_described_has_a_consistent_age(scene):
    scene.refuse_meanwhile()
    scene.clock.advance(3)
    assert holders(scene.tracker, scene.clock()).startswith("longest holders: (1) 3.0 s, ")


# Callers


def test_request_outside_an_any_llm_call_has_the_pools_provider(scene):
    """The request's own call site replaces the call's. A pool without a caller is named so."""
    lease = scene.enter()
    lease.own_call_site = find()
    assert whose(lease).startswith(f"provider openai, at {__file__}:")
    assert trace_id(lease) is None
    lease.observed = SpanContext(0, 0, is_remote=False)
    assert trace_id(lease) is None
    pool = FakePool()
    unattributed = scene.track(pool, "httpx2", None).begin(b"secret.test", None, b"https", None)
    assert whose(unattributed) == "caller unknown"
