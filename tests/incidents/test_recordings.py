"""What is found in recorded snapshots of incidents."""

import gzip
import re

import pytest

from gluellm_diagnosis.diagnose import diagnose
from gluellm_diagnosis.findings import Severity
from incidents.recordings import AT, FOLDER, Recording, recordings, top_of
from incidents.relations import RELATIONS
from opentelemetry.instrumentation.gluellm.snapshots.snapshot import Snapshot

ALL = list(recordings())
NAMES = sorted({one.name for one in ALL})
MOST_BYTES = 3_060_000


@pytest.mark.parametrize("name", NAMES)
def test_findings_are_the_recorded_ones(name):
    """``make -C tests/studies record ARGS=--judge`` writes them anew: read the difference."""
    assert Recording.golden(name) == (FOLDER / name / "findings.txt").read_text()


@pytest.mark.parametrize("one", list(recordings("tuning")), ids=lambda one: one.id)
def test_cause_is_found_as_stated_before(one):
    """The other half of the catalogue verifies; ``record --judge`` prints how it fell."""
    known = one.expected.get("known", {}).get(str(one.at), "")
    assert one.verdict() == known
    above_info = any(finding.severity is not Severity.INFO for finding in one.findings)
    if not known and (one.at != AT[0] or not one.expected["status"]):
        assert int(above_info) == one.expected["status"]


@pytest.mark.parametrize("one", ALL, ids=lambda one: one.id)
def test_cause_stays_the_same_after_changes_that_say_nothing_about_it(one):
    """All at once; if the cause differs, each alone, to name the one that changes it."""
    if _same(one, *RELATIONS):
        return
    assert [name for name in RELATIONS if not _same(one, name)] == []
    pytest.fail("only all changes together change the cause")


def _same(one: Recording, *relations: str) -> bool:
    content = one.content
    for name in relations:
        content = RELATIONS[name](content) or content
    before, after = top_of(one.findings), top_of(diagnose(Snapshot.from_dict(content)))
    return (before and before.kind) == (after and after.kind)


@pytest.mark.parametrize("relation", RELATIONS)
def test_each_change_changes_the_snapshot(relation):
    """A relation that does nothing would always hold."""
    one = Recording("bad-request", AT[-1])
    content = RELATIONS[relation](changed := one.content) or changed
    assert content != one.content


@pytest.mark.parametrize("one", ALL, ids=lambda one: one.id)
def test_recording_is_the_same_after_its_way_through_a_file(one):
    """And so are its findings."""
    again = Snapshot.from_dict(one.snapshot.to_dict())
    assert again == one.snapshot


@pytest.mark.parametrize("name", NAMES)
def test_recordings_have_nothing_of_the_machine_that_made_them(name):
    """Files have a folder that stands for the service's."""
    for file in (FOLDER / name).glob("*.json.gz"):
        text = gzip.decompress(file.read_bytes()).decode()
        files = re.findall(r'"(?:\.\.\.)?([^":]*):\d+ in ', text)
        assert [
            file for file in files if not file.startswith(("/srv/app/", "/usr/lib/", "<"))
        ] == []


def test_recordings_are_small():
    """They are in each clone of the repository."""
    assert sum(file.stat().st_size for file in FOLDER.rglob("*.gz")) < MOST_BYTES
