"""The programs that are tested are the versions that users start."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from e2e.tools.cache import Cache
from e2e.tools.kinds import digest
from e2e.tools.pinned import MANIFEST, collector_version, tools

PINNED = {tool.name: tool for tool in tools()}


def test_images_of_the_compose_file_are_the_versions_that_are_tested() -> None:
    compose = (MANIFEST.parents[1] / "compose.yaml").read_text()
    images = dict(re.findall(r"image: \S+/([\w-]+):v?(\S+)$", compose, re.MULTILINE))
    named = {"opentelemetry-collector-contrib": "otelcol-gluellm"}
    for image in ("prometheus", "victoria-metrics", "alertmanager", *named):
        assert images[image] == PINNED[named.get(image, image)].version.removeprefix("v")


def test_the_collectors_manifest_has_one_version_of_everything(tmp_path: Path) -> None:
    """Its providers are stable and count otherwise. A comment in it is no reason to build."""
    version = collector_version(MANIFEST)
    text = MANIFEST.read_text()
    components = re.findall(r"gomod: \S+/(\w+) v(\S+)$", text, re.MULTILINE)
    assert len(components) == 14
    for component, found in components:
        stable = component.endswith("provider")
        assert found == (f"1.{int(version.split('.')[1]) - 94}.0" if stable else version)
    assert f"builder@v{version}" in text
    (other := tmp_path / "builder.yaml").write_text("# A word.\n" + text)
    assert digest(other) == digest(MANIFEST)
    other.write_text(text.replace("batchprocessor", "otherprocessor"))
    assert digest(other) != digest(MANIFEST)


def test_no_stamp_is_left_of_a_program_that_could_not_be_put_in_place(tmp_path: Path) -> None:
    """Its version would be believed. Here a folder is in the program's way."""
    program, cache = PINNED["promtool"], Cache(tmp_path / "cache")
    cache.folder.mkdir()
    (built := tmp_path / "built").touch()
    cache.install(program, built)
    assert cache.stamp(program).exists()
    cache.path(program).unlink()
    cache.path(program).mkdir()
    built.touch()
    with pytest.raises(IsADirectoryError):
        cache.install(program, built)
    assert not cache.stamp(program).exists()
