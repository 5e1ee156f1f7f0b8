"""A Collector at fault: no call fails, and every count is right once it is well again."""

from collections.abc import Iterator

import pytest

from studies.faults.playing import Fault, Play, Stage, harm

from .programs import Stack

pytest.importorskip("any_llm")


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """The stores and a provider."""
    folder = tmp_path_factory.mktemp("faults")
    with Stage(Stack(folder / "stack"), folder) as stage:
        yield stage


@pytest.mark.parametrize(
    ("fault", "protocol"),
    [(Fault.KILLED, "grpc"), (Fault.STOPPED, "http/protobuf"), (Fault.FULL, "http/protobuf")],
)
def test_a_collector_at_fault_does_no_harm(fault: Fault, protocol: str, stage: Stage) -> None:
    assert harm(Play(fault, protocol, stage, 0).run()) == []
