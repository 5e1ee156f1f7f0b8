"""What the documentation says, against what is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from opentelemetry.instrumentation.gluellm.config import SETTINGS
from opentelemetry.instrumentation.gluellm.environment import LIMIT_VARIABLES
from opentelemetry.instrumentation.gluellm.telemetry import semconv

ROOT = Path(__file__).parents[2]
FOLDERS = (ROOT / "docs", ROOT / "dashboards")
PAGES = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    *sorted(page for folder in FOLDERS for page in folder.rglob("*.md")),
]

by_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))

KEYS = {value for value in vars(semconv).values() if isinstance(value, str) and "." in value}
NAMES = {metric.name for metric in semconv.METRICS}
OURS = re.compile(r"`(gluellm\.[a-z_.]+)`")


@by_page
def test_links_inside_the_repository_lead_somewhere(page: Path) -> None:
    """A link to a page that was renamed."""
    targets = re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text())
    local = [target for target in targets if not target.startswith("http")]
    assert not [target for target in local if not (page.parent / target).exists()]


@by_page
def test_python_blocks_are_python(page: Path) -> None:
    """Examples are copied: they parse at least."""
    for block in re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL):
        ast.parse(block)


@by_page
def test_telemetry_is_called_by_its_names(page: Path) -> None:
    """A metric or attribute that the contract doesn't have."""
    assert set(OURS.findall(page.read_text())) <= NAMES | KEYS


@by_page
def test_environment_variables_exist(page: Path) -> None:
    """A variable that no setting reads."""
    known = {setting.variable for setting in SETTINGS} | {*LIMIT_VARIABLES.values()}
    named = set(re.findall(r"OTEL_PYTHON_GLUELLM_[A-Z_]+", page.read_text()))
    assert named <= known


def test_openai_waits_as_long_for_a_connection_as_the_readme_says() -> None:
    """The number in the README's first lines is the SDK's default."""
    openai = pytest.importorskip("openai")
    timeout = openai.AsyncOpenAI(api_key="any").timeout
    assert f"waits {timeout.pool:g} seconds" in " ".join((ROOT / "README.md").read_text().split())


def test_capabilities_name_tests_that_are_there() -> None:
    """Each row names a test by file and function, or says that it is not yet there."""
    rows = [
        line.split("|")
        for line in (ROOT / "docs" / "capabilities.md").read_text().splitlines()
        if line.startswith("| ") and not line.startswith("| capability")
    ]
    assert len(rows) == 34
    for _, capability, proof, _ in rows:
        named = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", proof)
        assert named or proof.strip() == "not yet", capability
        for path, function in named:
            assert re.search(rf"def {function}\(", (ROOT / path).read_text()), (path, function)


def test_page_on_tests_names_files_and_commands_that_exist() -> None:
    text = (ROOT / "docs" / "testing.md").read_text()
    paths = re.findall(r"`(tests/[\w/.]+)`", text)
    assert len(paths) > 20
    assert not [path for path in paths if not (ROOT / path).exists()]
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"`make ([\w-]+)`", text):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
