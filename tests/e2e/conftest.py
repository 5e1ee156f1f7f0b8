"""Fixtures of the end-to-end tests: programs and a provider, on loopback."""

from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from gluellm_pools.fake_provider import FakeProvider, FakeProviderThread

from .programs import Stack
from .running import lacking, required

Report = TypeVar("Report", pytest.CollectReport, pytest.TestReport)


def pytest_sessionstart() -> None:
    """One line, and not a failure of each test, where required programs are not there."""
    if required() and (said := lacking()):
        raise pytest.UsageError(said)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """A file that would be skipped, for want of a package, is an error with ``REQUIRE_E2E=1``."""
    report = yield
    return _no_skip(report)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """So is a test."""
    report = yield
    return _no_skip(report)


def _no_skip(report: Report) -> Report:
    if report.outcome == "skipped" and required():
        report.outcome = "failed"
        report.longrepr = f"REQUIRE_E2E=1, and this would be skipped: {report.longrepr}"
    return report


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    """Programs to be started by the test, for it alone; what runs is stopped in the end."""
    stack = Stack(tmp_path / "stack")
    try:
        yield stack
    finally:
        stack.stop()


@pytest.fixture(scope="session")
def shared_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """All programs, started once for all tests whose services have names of their own."""
    stack = Stack(tmp_path_factory.mktemp("stack"))
    try:
        stack.start()
        yield stack
    finally:
        stack.stop()


@pytest.fixture
def provider() -> Iterator[FakeProvider]:
    """A fake LLM provider behind a thread."""
    with FakeProviderThread() as provider:
        yield provider
