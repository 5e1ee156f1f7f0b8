"""Fail tests that leak answers, build a client per call, or use a client on two event loops.

pytest loads this module in every run of an environment that has the package. It does nothing until
the setting ``gluellm_pools`` lists checks.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest

CHECKS = ("leak", "churn", "second-loop", "no-read-timeout")
_MARKER = "gluellm_pools"
_LOGGER = "opentelemetry.instrumentation.gluellm"
_NO_REQUESTS = "no request went through a connection pool, as when the transport is mocked"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Register the settings."""
    which = f"checks of connection pools, for each test: {', '.join(CHECKS)}"
    parser.addini("gluellm_pools", which, type="args", default=[])
    report = "only report what gluellm_pools finds, at the end of the run"
    parser.addini("gluellm_pools_report", report, type="bool", default=False)


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker and, if there are checks, the plugin of this session."""
    config.addinivalue_line("markers", f"{_MARKER}(allow): checks of pools that this test may fail")
    checks = config.getini("gluellm_pools")
    _known(checks, "the setting gluellm_pools")
    if checks:
        config.pluginmanager.register(_Session(config, frozenset(checks)), "gluellm_pools_session")


def _known(checks: Any, where: str) -> None:
    from ..arguments import suggestion

    for one in checks:
        if one not in CHECKS:
            raise pytest.UsageError(
                f"{where} has the unknown check {one!r}{suggestion(one, CHECKS)}; "
                f"the checks are {', '.join(CHECKS)}"
            )


class _Session:
    """The checks of a session. With xdist, each worker runs them, and the controller reports."""

    def __init__(self, config: pytest.Config, checks: frozenset[str]) -> None:
        self._checks = checks
        self._only_report = config.getini("gluellm_pools_report")
        self._requests = 0
        self._found: list[str] = []
        self._runs_tests = False
        self._level = logging.NOTSET

    def pytest_runtestloop(self, session: pytest.Session) -> None:
        """Instrument the process, unless workers run the tests."""
        if session.config.getoption("dist", "no") != "no" or self._runs_tests:
            return
        from ..doctor.instrumentation import instrument_until_program_does

        self._runs_tests = True
        # Its warnings about the whole process would be in the logs of tests.
        logger = logging.getLogger(_LOGGER)
        self._level, logger.level = logger.level, logging.CRITICAL
        instrument_until_program_does(
            scope="all", leak_threshold=0, loop_lag=False, peer_check_after=0
        )

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        """Judge what begins within a test, its fixtures included."""
        if not self._runs_tests:
            return (yield)
        from .judge import Test

        item.stash[_TEST] = test = Test()
        try:
            return (yield)
        finally:
            self._requests += test.requests()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Iterator[None]:
        """Note the answers that are unread when the test's function ends."""
        try:
            return (yield)
        finally:
            if (test := item.stash.get(_TEST, None)) is not None:
                test.note_unread()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Iterator[None]:
        """Fail the test, or note a finding, once its fixtures have ended."""
        result = yield
        if (test := item.stash.get(_TEST, None)) is None:
            return result
        allowed = [
            one
            for marker in item.iter_markers(_MARKER)
            for one in marker.kwargs.get("allow", marker.args[0] if marker.args else ())
        ]
        _known(allowed, f"the marker of {item.nodeid}")
        found = test.findings(self._checks.difference(allowed))
        if found and self._only_report:
            item.user_properties += [(_MARKER, one) for one in found]
        elif found:
            pytest.fail("\n".join(found), pytrace=False)
        return result

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Collect what is only reported."""
        if report.when == "teardown":
            texts = (text for name, text in report.user_properties if name == _MARKER)
            self._found += [f"{report.nodeid}\n{text}" for text in texts]

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Restore the process; a worker of xdist sends its count to the controller."""
        if not self._runs_tests:
            return
        from ..doctor.instrumentation import end

        end()
        logging.getLogger(_LOGGER).level = self._level
        if hasattr(session.config, "workeroutput"):
            session.config.workeroutput[_MARKER] = self._requests

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Add the count of a worker of xdist."""
        self._requests += getattr(node, "workeroutput", {}).get(_MARKER, 0)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print what is only reported, and whether there was anything to judge."""
        if self._found:
            terminalreporter.section("connection pools")
            for text in self._found:
                terminalreporter.line(text)
        if not self._requests:
            terminalreporter.line(f"gluellm_pools judged nothing: {_NO_REQUESTS}.")


_TEST: pytest.StashKey[Any] = pytest.StashKey()
