"""The documentation compared with the code."""

import ast
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from opentelemetry.instrumentation.gluellm.config import SETTINGS
from opentelemetry.instrumentation.gluellm.environment import LIMIT_VARIABLES
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from opentelemetry.instrumentation.gluellm.version import __version__

ROOT = Path(__file__).parents[2]
FOLDERS = (ROOT / "docs", ROOT / "dashboards")
PAGES = [
    *sorted(ROOT.glob("*.md")),
    *sorted(page for folder in FOLDERS for page in folder.rglob("*.md")),
]

by_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))

KEYS = {value for value in vars(semconv).values() if isinstance(value, str) and "." in value}
NAMES = {metric.name for metric in semconv.METRICS}
OURS = re.compile(r"`(gluellm\.[a-z_.]+)`")


@by_page
def test_links_examples_and_names_of_a_page_exist(page):
    """This finds renamed pages, and metrics, attributes and variables that don't exist."""
    text = page.read_text()
    targets = re.findall(r"\]\(([^)#]+)[^)]*\)", text)
    local = [target for target in targets if not target.startswith("http")]
    assert not [target for target in local if not (page.parent / target).exists()]
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        ast.parse(textwrap.dedent(block))  # examples are copied
    assert set(OURS.findall(text)) <= NAMES | KEYS
    known = {setting.variable for setting in SETTINGS} | {*LIMIT_VARIABLES.values()}
    assert set(re.findall(r"OTEL_PYTHON_GLUELLM_[A-Z_]+", text)) <= known


def test_classifier_readme_and_changelog_agree_with_the_version():
    """A development or alpha version is alpha, any other before 1.0 is beta."""
    major = int(__version__.split(".")[0])
    early = re.search(r"\.dev|a\d", __version__)
    stage = "3 - Alpha" if early else "5 - Production/Stable" if major else "4 - Beta"
    assert f'"Development Status :: {stage}"' in (ROOT / "pyproject.toml").read_text()
    word = stage.split(" - ")[1].lower()
    assert f"Version {__version__}, {word}:" in (ROOT / "README.md").read_text()
    newest, *_ = re.findall(r"^## \[(.*)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert newest == ("Unreleased" if "dev" in __version__ else __version__)


def test_readme_has_the_pool_timeout_of_openai():
    """The number in the README's first lines is the SDK's default."""
    openai = pytest.importorskip("openai")
    timeout = openai.AsyncOpenAI(api_key="any").timeout
    assert f"waits {timeout.pool:g} seconds" in " ".join((ROOT / "README.md").read_text().split())


def test_files_that_pages_and_source_name_exist():
    """A path may begin at any folder: ``requests.py`` is a file of several adapters."""
    ours = [
        file
        for folder in ("dashboards", "docs", "src", "tests")
        for file in (ROOT / folder).rglob("*")
        if file.suffix in (".md", ".py", ".toml")
    ]
    files = [f"/{file.relative_to(ROOT)}" for file in (*ours, *ROOT.glob("*.*"))]
    texts = [file for file in ours if file.suffix == ".md" or "src" in file.parts]
    named = {
        (name.replace("../", ""), str(file.relative_to(ROOT)))
        for file in texts
        for name in re.findall(r"`([\w./-]+\.(?:py|md|toml))`", file.read_text("utf-8"))
    }
    missing = [
        (name, by) for name, by in named if not any(one.endswith(f"/{name}") for one in files)
    ]
    assert missing == []


CLASSES = re.compile(r"`~?(?:[a-z_]\w*\.)*(_?[A-Z]\w*[a-z]\w*(?:\.\w+)*)(?:\(\))?`")
CALLS = re.compile(r"`([\w.]+)\(\)`")
OWN = re.compile(r"(?<!`)`([A-Za-z_]\w*(?:\.\w+)*)`(?!`)")
"""In docstrings and comments: names of this project."""
FOREIGN = {
    *("APIKeyPool", "APITimeoutError", "ClientTimeout", "ResourceWarning", "System.Net.Http"),
    *("BaseOpenAIProvider._aembedding", "AsyncOpenAI", "asyncio.wait_for"),
    *("eventlet.hubs.use_hub", "eventlet.monkey_patch", "force_flush", "httpx2.alias_httpx"),
    *("huggingface_hub.set_async_client_factory", "meter_provider.force_flush"),
    *("AsyncPoolRequest.wait_for_connection", "Measurement.__post_init__"),
    *("monkey.patch_all", "release_conn", "response.release_conn", "Unreleased"),
}
"""Names of other projects, and a heading, which the source does not contain."""


def names_in(tree: ast.AST) -> Iterator[str]:
    """Yield the names that code defines or uses, also in strings without punctuation."""
    for node in ast.walk(tree):
        value = getattr(node, "value", None)
        if isinstance(value, str) and re.fullmatch(r"[\w. :]+", value):
            yield from re.findall(r"\w+", value)
        for field in ("id", "attr", "arg", "name", "module"):
            yield from (getattr(node, field, None) or "").split(".")


def test_classes_and_functions_that_pages_and_source_name_exist():
    """A name exists if code of the project defines or uses it."""
    sources = {
        file: file.read_text()
        for folder in ("dashboards", "src")
        for file in (ROOT / folder).rglob("*.py")
    }
    known = {file.stem for file in sources}
    named = {
        name
        for page in PAGES
        for pattern in (CLASSES, CALLS)
        for name in pattern.findall(re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL))
    }
    for source in sources.values():
        tree = ast.parse(source)
        known.update(names_in(tree))
        strings = (node.value for node in ast.walk(tree) if isinstance(node, ast.Expr))
        texts = [str(getattr(string, "value", "")) for string in strings]
        for pattern in (CLASSES, CALLS, OWN):
            named.update(pattern.findall("\n".join([*texts, *re.findall(r"#.*", source)])))
    missing = {name for name in named if not known.issuperset(name.split("."))}
    assert missing == FOREIGN


def test_page_on_tests_names_files_and_commands_that_exist():
    text = (ROOT / "docs" / "maintainers" / "testing.md").read_text()
    paths = re.findall(r"`(tests/[\w/.]+)`", text)
    assert len(paths) > 20
    assert not [path for path in paths if not (ROOT / path).exists()]
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"`make ([\w-]+)`", text):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


@pytest.mark.parametrize("page", ["README.md", "docs/start.md"])
def test_first_recipe_names_the_service_and_leaves_the_terminal_alone(page):
    """opentelemetry-instrumentation-logging silences the warnings of a program."""
    blocks = (ROOT / page).read_text().split("```")[1::2]
    (recipe,) = (block for block in blocks if "pip install opentelemetry-distro" in block)
    assert "opentelemetry-instrumentation-logging" not in recipe
    assert "export OTEL_SERVICE_NAME=" in recipe
