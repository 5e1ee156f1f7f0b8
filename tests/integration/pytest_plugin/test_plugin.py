"""The pytest plugin, in runs of pytest of their own."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from support.http1 import HTTP1Server
from support.script import Reply

SUITE = Path(__file__).parent / "suite" / "pools.py"
CHECKS = "leak churn second-loop no-read-timeout"
FAULTS = {
    "test_leak": "leak",
    "test_leak_although_a_fixture_closes_the_client": "leak",
    "test_leak_and_another_is_closed": "leak",
    "test_churn": "client churn",
    "test_loops": "wrong event loop",
}


@pytest.fixture
def run(server: HTTP1Server, tmp_path: Path):
    """Run pytest with these arguments on the suite."""
    server.reply("/stream", Reply(chunks=((0, b"x"),), end_after=server.gate()))

    def run(*arguments: str, checks: str = CHECKS, suite: Path = SUITE):
        settings = [f"-o=gluellm_pools={checks}"] if checks else []
        return subprocess.run(
            [
                *(sys.executable, "-m", "pytest", "-v", "-c", os.devnull),
                *(f"--rootdir={suite.parent}", "-p", "no:cacheprovider", "-o", "markers=trio"),
                *(*settings, *arguments, str(suite)),
            ],
            env=os.environ | {"SUITE_URL": server.url(), "PYTHONDONTWRITEBYTECODE": "1"},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
        )

    return run


def outcomes(output: str) -> dict[str, set[str]]:
    """Return the outcomes of each test, by its name."""
    found: dict[str, set[str]] = {}
    for name, outcome in re.findall(r"::(\w+)\S* (PASSED|FAILED|ERROR|SKIPPED)", output):
        found.setdefault(name, set()).add(outcome)
    return found


def test_tests_with_faults_fail(run):
    """Others pass: what fixtures close, earlier tests left, or is marked or mocked."""
    done = run("-k", "not trio and not misspelled")
    assert done.returncode == 1, done.stdout + done.stderr
    found = outcomes(done.stdout)
    assert {name for name, one in found.items() if "ERROR" in one} == FAULTS.keys(), done.stdout
    assert len(found) == len(FAULTS) + 7
    for name, kind in FAULTS.items():
        section = done.stdout.split(f"of {name} _")[1].split("\n___")[0]
        assert f": {kind}" in section
        assert re.search(rf"pools\.py:\d+ in ({name}|begin)", re.sub(r"\n +", " ", section))
        if kind == "client churn":
            assert "Most are built at" in re.sub(r"\n +", " ", section)
        if kind == "leak":
            assert "1 requested at" in re.sub(r"\n +", " ", section)


@pytest.mark.skipif(not importlib.util.find_spec("pytest_trio"), reason="needs pytest-trio")
def test_leak_on_trio_fails(run):
    """pytest-trio runs the test."""
    assert outcomes(run("-k", "trio").stdout) == {"test_leak_on_trio": {"PASSED", "ERROR"}}


def test_reports_without_failing(run):
    """Each finding is in the summary, with its test. With xdist, the controller prints it."""
    done = run("-n", "2", "-o=gluellm_pools_report=true", "-k", "not trio and not misspelled")
    assert done.returncode == 0, done.stdout
    summary = done.stdout.split("connection pools")[1]
    for name, kind in FAULTS.items():
        assert re.search(rf"::{name}\n\w+: {kind}", summary), done.stdout


def test_does_nothing_until_checks_are_set(run):
    """Not even the package is imported."""
    done = run("-k", "churn or misspelled", checks="")
    assert done.returncode == 0, done.stdout
    assert "gluellm_pools judged" not in done.stdout
    assert outcomes(done.stdout).keys() == {"test_churn", "test_misspelled_marker"}


def test_misspelled_checks_are_usage_errors(run):
    """The message has the nearest check."""
    done = run(checks="leeks")
    assert done.returncode == 4
    assert "the unknown check 'leeks' (did you mean leak?)" in done.stderr
    done = run("-k", "misspelled")
    assert "the unknown check 'leek' (did you mean leak?)" in done.stdout


def test_a_mocked_suite_is_not_judged(run):
    """The summary says that there was nothing to judge."""
    done = run("-k", "mocked")
    assert done.returncode == 0
    assert "gluellm_pools judged nothing: no request went through" in done.stdout
    assert "judged nothing" not in run("-k", "two_clients").stdout


def test_the_process_is_restored(run, tmp_path):
    """Each hook is the original again, and a test's own instrument() has its settings."""
    suite = tmp_path / "restored.py"
    suite.write_text(
        "import atexit, httpcore\n"
        "before = httpcore.ConnectionPool.handle_request\n"
        "def check(): print('restored', httpcore.ConnectionPool.handle_request is before)\n"
        "atexit.register(check)\n"
        "def test_replaced(): assert httpcore.ConnectionPool.handle_request is not before\n"
        "def test_own():\n"
        "    from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor, snapshot\n"
        "    GlueLLMInstrumentor().instrument(leak_threshold=7)\n"
        "    assert snapshot().leak_threshold == 7\n"
        "    GlueLLMInstrumentor().uninstrument()\n"
    )
    done = run(suite=suite)
    assert done.returncode == 0, done.stdout
    assert "restored True" in done.stdout
