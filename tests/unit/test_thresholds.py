"""Each threshold is used, and alerts, log and findings agree on them."""

import ast
import re
from collections import Counter
from pathlib import Path

from gluellm_dashboards.rules.alerts import ALERTS
from opentelemetry.instrumentation.gluellm import thresholds

ROOT = Path(__file__).parents[2]
LIBRARY = ROOT / "src" / "opentelemetry" / "instrumentation" / "gluellm"
BOARDS = ROOT / "dashboards" / "gluellm_dashboards"
HOME = LIBRARY / "thresholds.py"
VALUES = {
    name: value for name, value in vars(thresholds).items() if isinstance(value, (int, float))
}


def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def test_thresholds_import_nothing_and_each_is_used():
    """Every module can read them. An unused threshold would be defined elsewhere."""
    assert not [n for n in ast.walk(_tree(HOME)) if isinstance(n, (ast.Import, ast.ImportFrom))]
    sources = [*(ROOT / "src").rglob("*.py"), *BOARDS.rglob("*.py")]
    words = Counter(word for path in sources for word in re.findall(r"\w+", path.read_text()))
    assert [name for name in VALUES if words[name] < 2] == []


def test_alerts_compare_with_thresholds():
    """Every number in an alert's condition is a threshold; 0 and 1 are absence and presence."""
    allowed = {f"{value:g}" for value in VALUES.values()} | {"0", "1"}
    for alert in ALERTS:
        numbers = re.findall(r"(?:[<>]=?|==)\s*(?:bool )?([\d.]+)(?![\d.]*[smhd])", alert.expr)
        assert set(numbers) <= allowed, (alert.name, numbers)


def test_page_has_the_thresholds_of_late_loops():
    """Its table of findings is not generated."""
    share, pause = f"{100 * thresholds.LATE_SHARE:g} %", f"{thresholds.LATE_NOTICED:g} s"
    text = f"late for more than {share} of the time. INFO below that, if one delay exceeded {pause}"
    assert text in (ROOT / "docs" / "when-calls-hang.md").read_text()


def test_limits_of_churn_stuck_requests_and_slow_consumers():
    """The page on stuck requests comes later on purpose."""
    assert thresholds.is_churn(10, 29)
    assert not thresholds.is_churn(10, 30)
    assert not thresholds.is_churn(9, 9)
    assert thresholds.STUCK_SEVERE_AFTER > thresholds.STUCK_AFTER
    enough = thresholds.UNREAD_REQUESTS
    for share, held, requests, slow in (
        (thresholds.UNREAD_SHARE + 0.01, 10, enough, True),
        (thresholds.UNREAD_SHARE - 0.01, 10, enough, False),
        (thresholds.UNREAD_SHARE + 0.01, 10, enough - 1, False),
        (thresholds.UNREAD_SHARE + 0.01, 10, 100, False),  # too little for each of them
    ):
        assert thresholds.consumes_slowly(share * held, held, requests) is slow
