"""How the fake provider answers each request of a run."""

from __future__ import annotations

import math
import random

from opentelemetry.instrumentation.gluellm.cli.fake_provider import Behaviour, ReceivedRequest

from .plan import Answering

HUNG = "hung"
"""The model whose answers never come."""
_ERRORS = (429, 429, 500, 529)


class Answers:
    """Called in the provider's thread for each request; its attributes change in the run's."""

    def __init__(self, answering: Answering, rng: random.Random) -> None:
        self._usual = answering
        self._random = rng
        self.head_factor = 1.0
        """Times the usual time until the head."""
        self.token_factor = 1.0
        """Times the usual time between tokens."""
        self.silent_share = 0.0
        """Of the requests: these are never answered."""
        self.dropped_share = 0.0
        """Of the requests on reused connections: their connection is reset instead."""
        self.error_share = answering.error_share
        self.close = False
        """Whether each connection is closed behind its answer."""

    def __call__(self, request: ReceivedRequest) -> Behaviour:
        usual, rng = self._usual, self._random
        if request.model == HUNG or rng.random() < self.silent_share:
            return Behaviour(head_delay=math.inf)
        delay = usual.head_delay
        if request.model == "reasoning":
            delay = rng.uniform(*usual.reasoning)
        return Behaviour(
            head_delay=delay * self.head_factor,
            jitter=usual.jitter * self.head_factor,
            tokens=rng.randint(*usual.tokens),
            token_rate=usual.token_rate / self.token_factor,
            status=rng.choice(_ERRORS) if rng.random() < self.error_share else 200,
            retry_after=rng.uniform(0.05, 0.3),
            drop_reused=rng.random() < self.dropped_share,
            close=self.close,
        )
