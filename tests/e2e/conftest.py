"""Fixtures of the end-to-end tests: programs and a provider on loopback."""

from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from gluellm_pools.fake_provider import FakeProvider, FakeProviderThread

from .programs import Stack
from .running import lacking, required

Report = TypeVar("Report", pytest.CollectReport, pytest.TestReport)


def pytest_sessionstart() -> None:
    """Report missing programs in one line, instead of failing each test."""
    if required() and (missing := lacking()):
        raise pytest.UsageError(missing)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """With ``REQUIRE_E2E=1``, fail a file that would be skipped because a package is missing."""
    report = yield
    return _no_skip(report)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """With ``REQUIRE_E2E=1``, fail a test that would be skipped."""
    report = yield
    return _no_skip(report)


def _no_skip(report: Report) -> Report:
    if report.outcome == "skipped" and required():
        report.outcome = "failed"
        report.longrepr = f"REQUIRE_E2E=1, and this would be skipped: {report.longrepr}"
    return report


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    """Programs for one test, which starts them. They are stopped at its end."""
    stack = Stack(tmp_path / "stack")
    try:
        yield stack
    finally:
        stack.stop()


@pytest.fixture(scope="session")
def shared_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """All programs, started once. Each test that uses them needs its own service name."""
    stack = Stack(tmp_path_factory.mktemp("stack"))
    try:
        stack.start()
        yield stack
    finally:
        stack.stop()


@pytest.fixture
def provider() -> Iterator[FakeProvider]:
    """A fake LLM provider that runs in a thread."""
    with FakeProviderThread() as provider:
        yield provider
