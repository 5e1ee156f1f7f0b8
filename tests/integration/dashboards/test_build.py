"""`build.py` with changed files, and with an invalid source."""

import re
import shutil
from pathlib import Path

import pytest

from gluellm_dashboards import boards, build
from gluellm_dashboards.boards.board import Board, Row
from gluellm_dashboards.naming import UnknownNameError
from gluellm_dashboards.panels import Line, lines
from gluellm_dashboards.rules.alerts import ALERTS
from gluellm_dashboards.signals.signal import now, signal

from .reading import anchors


@pytest.fixture(scope="module")
def with_base() -> dict[Path, str]:
    """Files generated with an address for links."""
    return build.generated("https://git.example.com/pools/")


@pytest.fixture(scope="module")
def generated(with_base: dict[Path, str]) -> dict[Path, str]:
    """Files generated without an address, after the other build."""
    return build.generated()


@pytest.fixture
def root(generated: dict[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the generated files, on which `build.py` works."""
    copy = tmp_path / "dashboards"
    for part in ("grafana", "prometheus", "kubernetes", "runbooks"):
        if (build.ROOT / part).exists():
            shutil.copytree(build.ROOT / part, copy / part)
    for path, text in generated.items():
        (copy / path).parent.mkdir(parents=True, exist_ok=True)
        (copy / path).write_text(text)
    monkeypatch.setattr(build, "ROOT", copy)
    # Default arguments still refer to the original folder.
    for function in (build.differences, build.write):
        monkeypatch.setattr(function, "__defaults__", (copy,))
    return copy


@pytest.fixture
def built(root: Path, generated: dict[Path, str], monkeypatch: pytest.MonkeyPatch) -> Path:
    """Like `root`, for several runs of `build.py` that share one build of the unchanged source."""
    monkeypatch.setattr(build, "generated", lambda _: generated)
    return root


def test_check_passes_on_written_files(root, capsys):
    """It reports nothing."""
    assert build.main(["--check"]) == 0
    assert capsys.readouterr().err == ""


def test_check_fails_on_boards_that_differ(built, capsys):
    """It shows the differences and the command to run. The files are not changed."""
    edited, missing = built / "grafana/gluellm-pool.json", built / "grafana/gluellm-fleet.json"
    content = edited.read_text().replace("Why are connections closed?", "Closed")
    edited.write_text(content)
    missing.unlink()
    assert build.main(["--check"]) == 1
    error = capsys.readouterr().err
    for text in (edited.name, missing.name, "make dashboards"):
        assert text in error
    assert edited.read_text() == content
    assert not missing.exists()


def test_a_build_writes_what_differs_and_removes_strays(built, capsys):
    """A check fails before the build and passes after it. Provisioning files are kept."""
    other = built / "grafana" / "provisioning" / "dashboards" / "mine.yaml"
    other.parent.mkdir(parents=True, exist_ok=True)
    other.write_text("apiVersion: 1\n")
    (built / "grafana" / "old.json").write_text("{}")
    (built / "grafana" / "gluellm-pool.json").unlink()
    assert build.main(["--check"]) == 1
    assert "old.json has no source" in capsys.readouterr().err
    assert build.main([]) == 0
    assert not (built / "grafana" / "old.json").exists()
    assert other.exists()
    assert build.main(["--check"]) == 0


def test_an_unknown_metric_fails_with_the_nearest_known_name(root, monkeypatch, capsys):
    """Nothing is written."""

    def misspelt() -> tuple[Board, ...]:
        wrong = "gluellm.pool.acquire.duratoin"
        panel = lines("Wrong?", Line(signal("wrong", f"max({now(wrong)})", "Nothing.")))
        return (Board(uid="wrong", title="Wrong", question="?", rows=[Row("", [panel])]),)

    monkeypatch.setattr(boards, "boards", misspelt)
    before = (root / "grafana" / "gluellm-pool.json").read_text()
    assert build.main([]) == 2
    error = capsys.readouterr().err
    assert "there is no metric 'gluellm.pool.acquire.duratoin'" in error
    assert "the nearest is 'gluellm.pool.acquire.duration'" in error
    assert (root / "grafana" / "gluellm-pool.json").read_text() == before


def test_an_unknown_attribute_fails_with_the_nearest_known_name():
    """A label that the metric can't have would never match."""
    with pytest.raises(UnknownNameError, match=r"the nearest is 'gluellm\.request\.phase'"):
        now("gluellm.pool.request.current", {"gluellm.request.phases": "queued"})


def test_invalid_bases_of_links_are_refused(root, capsys):
    """A path can't be appended to them, or they would break a file or a template."""
    file = root / "prometheus" / "alerts.yaml"
    before = file.read_text()
    for address in (
        "",
        "wiki/runbooks",
        "https://",
        "https://wiki.example.com/a page",
        "https://wiki.example.com/?page=",
        "https://wiki.example.com/#runbooks",
        "https://wiki.example.com/{{ .Labels }}",
        "https://wiki.example.com/$job",
        "https://wiki.example.com/it's",
        "javascript://wiki.example.com/",
    ):
        with pytest.raises(SystemExit) as ended:
            build.main(["--base", address])
        assert ended.value.code == 2
        assert "https://git.example.com/gluellm" in capsys.readouterr().err
    assert file.read_text() == before


def test_valid_bases_of_links_are_accepted(root):
    """They may have a port, and a path with escaped spaces."""
    assert build.main(["--base", "http://wiki.example.com:8080/on%20call/"]) == 0
    text = (root / "prometheus" / "alerts.yaml").read_text()
    assert (
        "runbook_url: http://wiki.example.com:8080/on%20call/dashboards/runbooks/GlueLLMBlind.md"
        in text
    )


def test_a_base_makes_alerts_and_boards_link_to_runbooks_and_the_guide(with_base):
    """All files and headings exist."""
    alerts = with_base[Path("prometheus/alerts.yaml")]
    for name in {alert.name for alert in ALERTS}:
        url = f"https://git.example.com/pools/dashboards/runbooks/{name}.md"
        assert f"runbook_url: {url}" in alerts
    texts = "".join(with_base.values())
    linked = set(re.findall(r"https://git.example.com/pools/([\w/.-]+)(?:#([\w-]+))?", texts))
    assert ("dashboards/runbooks/GlueLLMRequestsStuck.md", "") in linked
    assert ("docs/when-calls-hang.md", "findings") in linked
    for path, heading in linked:
        text = (build.ROOT.parent / path).read_text()
        assert not heading or heading in anchors(text), (path, heading)


def test_without_a_base_nothing_links_to_a_runbook_or_guide(generated):
    """A dead link would waste the time of a person on call. The other build has no effect here."""
    texts = "".join(generated.values())
    assert "runbook" not in texts.lower()
    assert "when-calls-hang" not in texts
    assert "example.com" not in texts.replace("api.example.com", "")
