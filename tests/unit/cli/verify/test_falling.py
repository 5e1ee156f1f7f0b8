"""Counters that fall: several processes, or deltas."""

import random

from opentelemetry.instrumentation.gluellm.cli.verify.facts import FallingCounter, Series
from opentelemetry.instrumentation.gluellm.cli.verify.falling import judged
from opentelemetry.instrumentation.gluellm.cli.verify.findings import findings
from opentelemetry.instrumentation.gluellm.cli.verify.product import Kind, Product
from opentelemetry.instrumentation.gluellm.cli.verify.ways import arrivals

from .test_cured import _times
from .test_judging import _LABELS, _NOW, given, kinds

_FELL = FallingCounter(_LABELS, 20.0, 40.0)


def _deltas() -> list[float]:
    chance = random.Random(3)
    return [float(chance.randint(5, 30)) for _ in range(40)]


def test_one_exporter_s_rhythm_with_falls_is_deltas():
    """No two processes alternate so that each of them rises."""
    assert judged(_FELL, _times(40), _deltas(), _NOW).deltas
    for processes in (2, 3):  # they share the interval evenly, and each second or third rises
        values = [1000.0 * (place % processes) + place for place in range(40)]
        assert not judged(_FELL, _times(40), values, _NOW).deltas
    # Without a rhythm, as of two exporters that began when they liked.
    times = [time + (0 if place % 2 else 1.7) for place, time in enumerate(_times(40))]
    assert not judged(_FELL, times, _deltas(), _NOW).deltas


def test_deltas_are_called_so_and_their_cure_comes_first():
    """It was one process: an instance of its own would not help. Prometheus refuses deltas."""
    fell = FallingCounter(_LABELS, 20.0, 40.0, deltas=True)
    assert kinds(given(falling=[fell])) == ["error: processes_collide"]
    process = Series({**_LABELS, "scope_name": "gluellm"}, _NOW)
    store = Product(Kind.VICTORIA_METRICS, "1.151")
    facts = given(falling=[fell], product=store, processes=[process])
    assert kinds(facts) == ["error: deltas_stored"]
    (finding,) = findings(facts, arrivals(facts))
    assert finding.cure.startswith("unset OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE")
    assert "service.instance.id" in finding.cure
