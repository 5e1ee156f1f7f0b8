"""Names longer than what is shown: they are shortened for the eye, and told apart in full."""

import pytest

from opentelemetry.instrumentation.gluellm.cli.text import printable_ends
from opentelemetry.instrumentation.gluellm.cli.watch.bounds import NAME_CHARACTERS
from opentelemetry.instrumentation.gluellm.cli.watch.show import name_of, process_lines

from .watched import Watched

POD = "production-inference-services.recommendation-gateway-worker-7d9f8b6c5d-"
MIDDLE = ("x" * 50 + "1" + "y" * 50, "x" * 50 + "2" + "y" * 50)


@pytest.mark.parametrize("key", ["service__name", "service__instance__id", "service__namespace"])
@pytest.mark.parametrize("names", [(POD + "x2k4p.main", POD + "q9z7w.main"), MIDDLE])
def test_processes_whose_long_names_begin_alike_are_told_apart(key, names):
    """Pods of one deployment differ at the end of their names; others perhaps in the middle."""
    watched = Watched()
    for name in names:
        watched.export("openai", **{key: name})
    assert len(watched.intake.processes) == 2


def test_the_end_of_a_long_name_is_shown():
    """It is what tells pods apart; what is shown stays short."""
    watched = Watched()
    watched.export(POD + "eu-west", service__instance__id=POD + "x2k4p.main")
    name = name_of(watched.process)
    assert name.startswith("shop (production-")
    assert name.endswith("-x2k4p.main)")
    assert len(watched.process.identity.instance) == NAME_CHARACTERS
    assert "d-eu-west/httpx2: " in process_lines(watched.process)[1]


@pytest.mark.parametrize("names", [(POD + "a", POD + "b"), MIDDLE])
def test_pools_whose_long_names_begin_alike_are_not_added_up(names):
    """Each is a row of its own."""
    watched = Watched()
    watched.export(*names)
    pools = watched.process.view().pools
    assert [pool.requests for pool in pools.values()] == [5, 5]
    assert all(len(key.name) == NAME_CHARACTERS for key in pools)
    assert len(process_lines(watched.process)) == 3


def test_shortened_text_is_printable_and_as_long_as_allowed():
    """Both ends are kept, and nothing is cut that has room."""
    for length in (0, 1, 9, 10, 11, 1000):
        text = "".join(chr(97 + n % 26) for n in range(length))
        short = printable_ends(text, 10)
        assert len(short) == min(length, 10)
        assert (short == text) == (length <= 10)
        assert (short[:3], short[-4:]) == (text[:3], text[-4:])
    assert "\x1b" not in printable_ends("\x1b[2J" * 100)
