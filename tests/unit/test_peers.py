"""What ``make -C tests/studies upstream`` makes of two runs of a suite."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tarfile
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import httpcore
import httpx
import pytest

from studies.upstream import __main__ as command
from studies.upstream import beneath, comparing
from studies.upstream.comparing import Difference, Run
from studies.upstream.preparing import unpack
from studies.upstream.running import Runner
from studies.upstream.suites import SUITES, Suite
from support.figures import Figures

TESTS = Path(__file__).parents[1]

SUITE = """
import pytest

def test_passes():
    pass

def test_fails():
    raise RuntimeError("broken")

@pytest.mark.xfail
def test_is_expected_to_fail():
    raise RuntimeError("known")

@pytest.mark.skip
def test_is_skipped():
    pass

@pytest.fixture
def breaks_at_the_end():
    yield
    raise RuntimeError("left a mess")

def test_passes_until_its_end(breaks_at_the_end):
    pass
"""


def run(**outcomes: str) -> Run:
    """A complete run with these outcomes."""
    return Run(outcomes=dict(outcomes), finished=True)


@pytest.fixture
def recorded(tmp_path: Path) -> Run:
    """A real pytest's run of SUITE, as the plug-in records it."""
    (tmp_path / "test_suite.py").write_text(SUITE)
    outcomes = tmp_path / "outcomes"
    subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "studies.upstream.recording", "test_suite.py"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(TESTS), "GLUELLM_PEERS_OUTCOMES": str(outcomes)},
        check=False,
        capture_output=True,
        timeout=60,
    )
    return comparing.read(outcomes.read_text().splitlines())


def test_each_test_is_recorded_with_its_worst_phase(recorded: Run) -> None:
    """A failing tear-down fails the test; an expected failure and a skip are told as such."""
    assert {name.partition("::")[2]: how for name, how in recorded.outcomes.items()} == {
        "test_passes": "passed",
        "test_fails": "failed",
        "test_is_expected_to_fail": "xfailed",
        "test_is_skipped": "skipped",
        "test_passes_until_its_end": "failed",
    }
    assert recorded.finished
    assert recorded.passed == 2
    assert recorded.why("test_suite.py::test_fails") == "RuntimeError: broken"


def test_a_run_that_was_killed_keeps_what_had_been_run() -> None:
    """The line at which it was killed is left out."""
    found = comparing.read([json.dumps(["a", "call", "passed", ""]), '["b", "ca'])
    assert found.outcomes == {"a": "passed"}
    assert not found.finished


@pytest.mark.parametrize("on", ["failed", "xpassed", "missing"])
def test_a_test_that_passed_without_is_worse(on: str) -> None:
    """Failed, passed where it may not, or gone."""
    with_it = run(**({} if on == "missing" else {"a": on}))
    (difference,) = comparing.differences(run(a="passed"), with_it)
    assert difference == Difference("a", "passed", on)
    assert difference.worse


def test_what_failed_without_is_no_worse() -> None:
    """Neither where it passes now, nor where it fails as before."""
    found = comparing.differences(run(a="failed", b="failed"), run(a="passed", b="failed"))
    assert found == [Difference("a", "failed", "passed")]
    assert not found[0].worse


def test_what_fails_again_with_it_and_never_without_is_broken_by_it() -> None:
    """One further failure is enough."""
    suspect = Difference("a", "passed", "failed")
    judgement = comparing.judge(
        [suspect],
        off=[run(a="passed"), run(a="passed")],
        on=[run(a="passed"), run(a="failed")],
    )
    assert judgement.worse == (suspect,)
    assert not judgement.flaky


@pytest.mark.parametrize(("off", "on"), [("passed", "passed"), ("failed", "failed")])
def test_what_fails_without_it_too_or_not_again_is_flaky(off: str, on: str) -> None:
    """It is named, and breaks nothing."""
    suspect = Difference("a", "passed", "failed")
    judgement = comparing.judge([suspect], off=[run(a=off)], on=[run(a=on)])
    assert judgement.flaky == (suspect,)
    assert not judgement.worse


def test_what_never_ends_with_it_as_without_is_told_though_no_worse() -> None:
    """What fails without it and passes with it was changed by it; once as without is flaky."""
    changed, flaky = Difference("a", "failed", "passed"), Difference("b", "failed", "passed")
    judgement = comparing.judge(
        [changed, flaky],
        off=[run(a="failed", b="failed"), run(a="failed", b="passed")],
        on=[run(a="passed", b="passed"), run(a="passed", b="passed")],
    )
    assert judgement.otherwise == (changed,)
    assert judgement.flaky == (flaky,)
    assert not judgement.worse


@pytest.mark.parametrize("suite", SUITES.values(), ids=SUITES)
def test_the_wheel_is_what_a_suite_tests(suite: Suite, tmp_path: Path) -> None:
    """The library's own folder is left in the archive, or it would be imported instead."""
    inside = tmp_path / "made" / "library-1.0"
    for name in (f"{suite.package}/__init__.py", f"{suite.tests}/test_one.py"):
        (inside / name).parent.mkdir(parents=True, exist_ok=True)
        (inside / name).write_text("")
    archive = tmp_path / "library-1.0.tar.gz"
    with tarfile.open(archive, "w:gz") as writing:
        writing.add(inside, "library-1.0")
    folder = tmp_path / "library-1.0"
    unpack(archive, folder, suite.package)
    assert (folder / suite.tests / "test_one.py").exists()
    assert not (folder / suite.package).exists()


LIBRARY = """
import httpcore
import pytest

def test_asks():
    answer = [b"HTTP/1.1 200 OK\\r\\n", b"Content-Length: 0\\r\\n", b"\\r\\n"]
    backend = httpcore.MockBackend(answer)
    with httpcore.ConnectionPool(network_backend=backend) as pool:
        assert pool.request("GET", "https://host.invalid/").status == 200

def test_leaves_the_library_alone(pytestconfig):
    assert not pytestconfig.pluginmanager.hasplugin("gluellm-instrumented")
"""


def runner(folder: Path, test: str, settings: Mapping[str, str], *plugins: str) -> Runner:
    """Runs ``test`` with the interpreter that runs this."""
    (folder / "tests").mkdir()
    (folder / "tests" / "test_one.py").write_text(test)
    suite = Suite("library", lambda _: (), (), "tests", "library", plugins=plugins)
    return Runner(suite, folder, Path(sys.executable), 60.0, settings=settings)


def test_what_ends_worse_and_what_was_seen_are_in_the_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A test that only the instrumentation fails is named; httpcore's own mock is no failure."""
    monkeypatch.setattr(command, "_AGAIN", 1)
    figures = Figures("suites")
    command.compare(runner(tmp_path, LIBRARY, {"GLUELLM_PEERS_FULL": "1"}), figures)
    name = tmp_path.name
    assert figures.values == {
        f"library{name}: tests": 2,
        f"library{name}: passed off": 2,
        f"library{name}: passed on": 1,
        f"library{name}: worse": 1,
        f"library{name}: otherwise": 0,
        f"library{name}: flaky": 0,
        f"library{name}: requests seen": 1,
        f"library{name}: own failures caught": 0,
    }
    (broken,) = figures.broken
    assert "test_leaves_the_library_alone: passed off, failed on" in broken


class Mocker:
    """What respx has of it: who answers, and which methods are replaced by what."""

    targets: tuple[str, ...] = ()
    target_methods: tuple[str, ...] = ()
    mock: Any = None
    asked: tuple[httpx.Request, ...] = ()

    @classmethod
    def handler(cls, request: httpx.Request) -> httpx.Response:
        """Answer, with the body in two pieces, or fail."""
        cls.asked += (request,)
        if request.url.path == "/late":
            raise httpx.ReadTimeout("too late")
        return httpx.Response(201, content=iter([b"two ", b"pieces"]))

    @classmethod
    async def async_handler(cls, request: httpx.Request) -> httpx.Response:
        """The same, with a body that is read otherwise."""
        cls.handler(request)

        async def pieces() -> AsyncIterator[bytes]:
            yield b"two "
            yield b"pieces"

        return httpx.Response(201, content=pieces())


@pytest.fixture
def lowered() -> Iterator[Any]:
    """A mock that was put beneath the pools, and patches as respx does."""
    mocker: Any = type("Lowered", (Mocker,), {})

    def parse_url(raw: tuple[bytes, bytes, int, bytes]) -> httpx.URL:
        scheme, host, port, target = raw
        return httpx.URL(scheme=scheme.decode(), host=host.decode(), port=port, raw_path=target)

    beneath.lower(
        SimpleNamespace(  # type: ignore[arg-type]
            HTTPCoreMocker=mocker, httpcore=httpcore, httpx=httpx, parse_url=parse_url
        )
    )
    patches = [
        mock.patch(f"{target}.{method}", spec=True, new_callable=mocker.mock)
        for target in mocker.targets
        for method in mocker.target_methods
    ]
    for patch in patches:
        patch.start()
    yield mocker
    for patch in patches:
        patch.stop()


def test_a_mock_beneath_the_pools_answers_what_a_pool_sends(lowered: Any) -> None:
    """Twice over one connection, with the request as it was; what it raises is raised."""
    with httpx.Client() as client:
        for _ in range(2):
            response = client.post("https://host.invalid/a?b=c", content=b"asked")
            assert (response.status_code, response.content) == (201, b"two pieces")
        with pytest.raises(httpx.ReadTimeout, match="too late"):
            client.get("http://host.invalid:81/late")
    assert [(str(each.url), each.content) for each in lowered.asked] == [
        *[("https://host.invalid/a?b=c", b"asked")] * 2,
        ("http://host.invalid:81/late", b""),
    ]


def test_a_mock_beneath_async_pools_answers_too(lowered: Any) -> None:
    """In the pool's own event loop."""

    async def ask_twice() -> None:
        async with httpx.AsyncClient() as client:
            for _ in range(2):
                response = await client.post("https://host.invalid/", content=b"asked")
                assert (response.status_code, response.content) == (201, b"two pieces")

    asyncio.run(ask_twice())
    assert [each.content for each in lowered.asked] == [b"asked"] * 2
