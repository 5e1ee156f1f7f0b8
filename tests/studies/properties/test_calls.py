"""Calls after random events, against a model of the rules."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from opentelemetry.instrumentation.gluellm import vocabulary as phases
from opentelemetry.instrumentation.gluellm.attribution.streams import wrap_stream
from opentelemetry.instrumentation.gluellm.pool.call import Call, CountedCall
from opentelemetry.instrumentation.gluellm.pool.lease import Lease
from unit.pool.fakes import SECOND, Scene
from unit.pool.test_call import Items, begin, leave, outcomes

ERRORS = (None, None, None, "read_timeout", "cancelled")
STATUSES = (200, 200, 404, 425, 429, 500, 0)
LEFT = (
    *((ValueError(), phases.FAILED), (asyncio.CancelledError(), phases.CANCELLED)),
    *((GeneratorExit(), phases.ABANDONED), (SystemExit(), phases.CANCELLED)),
)
"""What a call's caller may raise, and the outcome."""


@dataclass
class Model:
    """The state of one call by the contract, after the events so far."""

    call: Call
    stream: Any = None
    requests: list[Lease] = field(default_factory=list)
    sign: int | None = phases.PREPARING
    """The last sign of a stage since the last request entered; None if there was none."""
    last: tuple[int, str | None] = (0, None)
    paused: bool = False
    retries: int = 0
    spent: list[int] = field(default_factory=lambda: [0] * len(phases.STAGES))
    outcome: int | None = None

    @property
    def stage(self) -> int:
        if self.requests:
            return phases.REQUESTING
        if self.sign is not None:
            return self.sign
        status, error = self.last
        retried = status in (408, 409, 425, 429) or status >= 500
        return phases.BACKOFF if retried or error not in (None, "cancelled") else phases.FINISHING


class World:
    """A scene, its calls, and the events that a test applies to both calls and models."""

    def __init__(self) -> None:
        self.scene = Scene()
        self.models: list[Model] = []
        self.ended: list[Model] = []
        self.draw: Any = None

    def pick(self, models: list[Model]) -> Model | None:
        return models[self.draw(st.integers(0, len(models) - 1))] if models else None

    def advance(self) -> None:
        passed = self.draw(st.sampled_from((0, 1, 10**6, 3 * SECOND, 100 * SECOND)))
        for model in self.models:
            model.spent[model.stage] += passed
        self.scene.clock.now += passed

    def begins(self) -> None:
        if len(self.models) < 4:
            provider = self.draw(st.sampled_from(("openai", None)))
            source = self.draw(st.sampled_from((phases.ANY_LLM, phases.GLUELLM)))
            self.models.append(Model(begin(self.scene, source=source, provider=provider)))

    def request_enters(self) -> None:
        model = self.pick(self.models)
        if model is not None and len(model.requests) < 3:
            if model.stage == phases.BACKOFF:
                model.paused = True
            model.retries += model.paused
            model.call.counted.found_provider("openai")
            lease = self.scene.enter(model.call)
            assert lease.resend is model.paused
            model.requests.append(lease)
            model.paused, model.sign = False, None

    def request_leaves(self) -> None:
        model = self.pick([model for model in self.models if model.requests])
        if model is not None:
            lease = model.requests.pop(self.draw(st.integers(0, len(model.requests) - 1)))
            error = self.draw(st.sampled_from(ERRORS))
            status = self.draw(st.sampled_from(STATUSES))
            leave(self.scene, lease, status, error)
            model.last = (status, error)

    def stage_is_entered(self) -> None:
        model = self.pick(self.models)
        if model is not None:
            stage = self.draw(st.sampled_from((phases.LIMITED, phases.PREPARING, phases.BACKOFF)))
            model.paused |= model.stage == phases.BACKOFF != stage
            model.sign = stage
            model.call.counted.enter(stage)

    def returns_a_stream(self) -> None:
        model = self.pick([model for model in self.models if model.stream is None])
        if model is not None:
            model.stream = wrap_stream(Items(), model.call)
            model.call.counted.streams_to(model.call)

    def item_arrives(self) -> None:
        model = self.pick([model for model in self.models if model.stream is not None])
        if model is not None:
            next(model.stream)

    def ends(self) -> None:
        model = self.pick(self.models)
        if model is None:
            return
        self.models.remove(model)
        self.ended.append(model)
        if model.stream is not None and self.draw(st.booleans()):
            model.outcome = phases.ABANDONED
            if self.draw(st.booleans()):
                model.stream.close()
            model.stream = None  # dropped: its finalizer ends the call
        elif self.draw(st.booleans()):
            model.outcome = phases.SUCCEEDED
            model.call.end()
        else:
            error, model.outcome = self.draw(st.sampled_from(LEFT))
            model.call.end_by(error)
        model.call.end(phases.FAILED)  # a second end changes nothing
        for lease in model.requests:
            leave(self.scene, lease)  # a request can outlive its call
        model.stream = None

    def check(self) -> None:
        for model in (*self.models, *self.ended):
            counted = model.call.counted
            now = counted.ended_at or self.scene.clock.now
            running = list(counted.spent)
            running[counted.stage] += now - counted.since
            assert running == model.spent
            assert sum(running) == now - counted.began_at
            assert counted.retries == model.retries
            assert bool(counted.ended_at) is (model.outcome is not None)
            assert not counted.ended_at or counted.outcome == model.outcome
        state = self.scene.registry.calls.state()
        live = [model for model in self.models if model.call.counted.ledger is not None]
        expected = Counter(model.stage for model in live)
        count = [sum(one.count[stage] for one in state) for stage in range(len(phases.STAGES))]
        assert count == [expected[stage] for stage in range(len(phases.STAGES))]
        for stage in range(len(phases.STAGES)):
            known = (*live, *self.ended)
            assert sum(one.spent[stage] for one in state) == sum(m.spent[stage] for m in known)
            assert all(one.count[stage] or not one.oldest[stage] for one in state)
        assert all(one.silent <= one.count[phases.REQUESTING] for one in state)
        assert sum(one.retries for one in state) == sum(m.retries for m in (*live, *self.ended))
        counted = Counter[str]()
        for one in state:
            counted.update(outcomes(one.ledger))
            assert sum(one.ledger.errors.values()) == outcomes(one.ledger).get("failed", 0)
        assert counted == Counter(phases.OUTCOMES[model.outcome or 0] for model in self.ended)


EVENTS = (
    *(World.advance, World.request_enters, World.request_leaves) * 2,
    *(World.begins, World.stage_is_entered, World.returns_a_stream),
    *(World.item_arrives, World.ends, World.check),
)


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_every_second_of_a_call_is_in_one_stage_and_every_call_has_one_outcome(data: Any) -> None:
    """This holds for any requests, signs, streams and ends. An ended call leaves nothing."""
    world = World()
    world.draw = data.draw
    for event in data.draw(st.lists(st.sampled_from(EVENTS), min_size=25, max_size=60)):
        event(world)
    while world.models:
        world.ends()
    world.check()
    assert not world.scene.registry.calls.live
    kinds = set(map(type, world.scene.registry.outbox.items))
    assert CountedCall in kinds or not world.ended
    world.scene.settled()
    assert all(model.call.counted.stream is None for model in world.ended)
