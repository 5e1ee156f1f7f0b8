"""A replay of incidents: played, kept, and looked at again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("any_llm")
pytest.importorskip("h2")

from studies.accuracy.incidents.__main__ import main
from studies.accuracy.incidents.replay import DATA, KeptPrometheus, Record

from .programs import Prometheus, find

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

_HEALTHY, _SECONDS = 5.0, 15.0


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a short replay of two incidents, one of them by three processes."""
    for program in ("prometheus", "alertmanager"):
        find(program)
    folder = tmp_path_factory.mktemp("incidents") / "kept"
    times = ["--healthy", f"{_HEALTHY / 60}", "--minutes", f"{_SECONDS / 60}"]
    assert main(["leak", "wrong-limit", *times, "--interval", "1", "--keep", str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def store(kept: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """Prometheus over what was kept."""
    prometheus = KeptPrometheus("kept", tmp_path_factory.mktemp("served"), kept / DATA)
    try:
        prometheus.start()
        yield prometheus
    finally:
        prometheus.stop()


def test_the_record_tells_when_it_was_and_not_what(kept: Path) -> None:
    """Services have names that give nothing away; the answers lie sealed beside."""
    record = Record.read(kept)
    assert record.ended - record.began >= _SECONDS
    assert len(record.services) == 2
    assert {text.partition(":")[0] for _, text, _ in record.answers} == {"leak", "wrong-limit"}
    texts = [
        file.read_text() for file in kept.iterdir() if file.suffix != ".log" and file.is_file()
    ]
    assert texts
    assert not any(word in text for text in texts for word in ("leak", "limit"))


def test_what_was_kept_shows_the_incident(kept: Path, store: Prometheus) -> None:
    """Well at first, then wrong, at the time at which it was."""
    record = Record.read(kept)
    began = {text.partition(":")[0]: (name, at) for name, text, at in record.answers}
    service, at = began["leak"]
    query = f'sum(gluellm_pool_request_current{{job="{service}",gluellm_request_phase="unread"}})'
    (before,) = store.query(query, at)
    (after,) = store.query(query, record.ended)
    assert before["value"][1] <= 1
    assert after["value"][1] >= 4


def test_a_deploy_has_an_instance_of_another_version(kept: Path, store: Prometheus) -> None:
    """Two as before and one that joined, whose limit is lower."""
    record = Record.read(kept)
    (service,) = (name for name, text, _ in record.answers if text.startswith("wrong-limit"))
    found = store.query(
        f'max by (instance, service_version) (gluellm_pool_connection_max{{job="{service}"}})',
        record.ended,
    )
    limits = sorted((row["metric"]["service_version"], row["value"][1]) for row in found)
    assert limits == [("1.4.0", 20), ("1.4.0", 20), ("1.5.0", 2)]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["leek"], "there is no incident 'leek'; there are healthy, saturated"),
        (["matrix", "leek"], "there is no incident 'leek'"),
        ([], "name an incident"),
        (["leak", "--minutes", "nan"], "--minutes is a number from 0 to 1440"),
        (["leak", "--healthy", "-1"], "--healthy is"),
        (["leak", "--interval", "0"], "--interval is a number from 1 to 600"),
        (["leak", "--hold", "inf"], "--hold is"),
        (["leak", "--keep", "/proc"], "/proc can't be made"),
        (["serve", "/proc/kept"], "/proc/kept holds no replay"),
    ],
    ids=str,
)
def test_what_makes_no_sense_is_refused_before_anything_starts(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """In a line, by the status for wrong arguments."""
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err
