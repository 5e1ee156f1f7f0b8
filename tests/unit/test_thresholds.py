"""Every threshold has one definition, in ``thresholds.py``, and a reason."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from gluellm_dashboards.rules.alerts import ALERTS
from opentelemetry.instrumentation.gluellm import thresholds
from opentelemetry.instrumentation.gluellm.cli import reading
from opentelemetry.instrumentation.gluellm.cli.view import PoolView
from opentelemetry.instrumentation.gluellm.pool import watch

ROOT = Path(__file__).parents[2]
LIBRARY = ROOT / "src" / "opentelemetry" / "instrumentation" / "gluellm"
BOARDS = ROOT / "dashboards" / "gluellm_dashboards"
HOME = LIBRARY / "thresholds.py"
READERS = [
    *sorted((LIBRARY / "diagnosis" / "rules").glob("*.py")),
    *(LIBRARY / "diagnosis" / name for name in ("diagnose.py", "intervals.py", "report.py")),
    *(LIBRARY / "pool" / name for name in ("churn.py", "loops.py", "oddities.py", "watch.py")),
    LIBRARY / "telemetry" / "logs.py",
    *(LIBRARY / "cli" / name for name in ("reading.py", "render.py", "view.py")),
    LIBRARY / "cli" / "demo" / "evidence.py",
    *sorted((BOARDS / "boards").glob("*.py")),
    *sorted((BOARDS / "rules").glob("*.py")),
    BOARDS / "config.py",
]
"""Whatever decides by a threshold."""
NO_THRESHOLDS = {
    # Bounds of output.
    *("_MOST_PLACES", "_LONGEST_CURE", "_LABEL", "_NARROW", "_VISIBLE_SHARE", "_SMALL_SHARE"),
    *("_QUANTILES", "_TOP", "_RECENT", "pool.live > 3"),
    # Rhythms and patience.
    *("PERIOD", "_WANTED_FOR", "INTERVAL", "_LOCK_TIMEOUT", "_REST_AFTER", "_LOOKS"),
    "EXPORT_INTERVAL",
    # What advice recommends, and the default of two SDKs that it explains.
    *("BOUND", "_WAIT", "pool.pool_timeout == 600"),
    # HTTP.
    *("lease.status == 101", "int(attributes.get(semconv.STATUS_CODE, 0)) < 400"),
    # What the demo's own load has to cause.
    *("_MUCH", "_p(pool, 0.95) >= 0.05"),
    "pool.share('awaiting_response', 'reading') >= 0.8",
}
"""Numbers that decide no verdict."""
VALUES = {
    name: value for name, value in vars(thresholds).items() if isinstance(value, (int, float))
}


def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def _is_number(node: ast.AST) -> bool:
    if isinstance(node, ast.UnaryOp):
        node = node.operand
    if isinstance(node, ast.BinOp):
        return _is_number(node.left) and _is_number(node.right)
    return isinstance(node, ast.Constant) and type(node.value) in (int, float)


def _numbers(path: Path) -> Iterator[str]:
    """Names that a module gives to numbers, and literal numbers that it compares with."""
    for node in _tree(path).body:
        if isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            values = node.value.elts if isinstance(node.value, ast.Tuple) else [node.value]
            if any(_is_number(value) for value in values):
                yield ", ".join(map(ast.unparse, targets))
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            if any(_is_number(side) and ast.literal_eval(side) not in (0, 1) for side in sides):
                yield ast.unparse(node)


def test_thresholds_import_nothing_and_each_is_used() -> None:
    """So everything can read them. One that nothing reads is defined elsewhere too."""
    assert not [n for n in ast.walk(_tree(HOME)) if isinstance(n, (ast.Import, ast.ImportFrom))]
    sources = [*LIBRARY.rglob("*.py"), *BOARDS.rglob("*.py")]
    words = Counter(word for path in sources for word in re.findall(r"\w+", path.read_text()))
    assert [name for name in VALUES if words[name] < 2] == []


@pytest.mark.parametrize("path", READERS, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_second_definition(path: Path) -> None:
    """Whatever decides by a threshold neither names a number nor compares with a literal one."""
    assert [found for found in _numbers(path) if found not in NO_THRESHOLDS] == []


def test_alerts_compare_with_thresholds() -> None:
    """Every number in an alert's condition is a threshold; 0 and 1 are absence and presence."""
    allowed = {f"{value:g}" for value in VALUES.values()} | {"0", "1"}
    for alert in ALERTS:
        numbers = re.findall(r"(?:[<>]=?|==)\s*(?:bool )?([\d.]+)(?![\d.]*[smhd])", alert.expr)
        assert set(numbers) <= allowed, (alert.name, numbers)


@pytest.mark.parametrize(
    ("alert", "value"),
    [
        ("GlueLLMRequestsStuck", thresholds.STUCK_ALERT_AFTER),
        ("GlueLLMPoolTimeouts", thresholds.POOL_TIMEOUT_SHARE),
        ("GlueLLMEventLoopBlocked", thresholds.LATE_SHARE),
        ("GlueLLMClientChurn", thresholds.CHURN_POOLS),
        ("GlueLLMClientChurn", thresholds.CHURN_REQUESTS_PER_POOL),
    ],
)
def test_alert_has_the_definition_of_the_rest(alert: str, value: float) -> None:
    """The alerts whose definitions differed from those of the log, `watch` and the findings."""
    found = [one.expr for one in ALERTS if one.name == alert]
    assert found
    assert all(re.search(rf"[<>]=? {value:g}\b", expr) for expr in found)


def test_definitions_are_the_same_for_log_watch_and_findings() -> None:
    """Churn, stuck requests, whose page comes later on purpose, and slow consumers."""
    assert thresholds.churns(10, 29)
    assert not thresholds.churns(10, 30)
    assert not thresholds.churns(9, 9)
    assert reading.reading(PoolView(pools_opened=10, requests=29)) is not None
    assert reading.reading(PoolView(pools_opened=10, requests=30)) is None
    assert watch.STUCK_AFTER == thresholds.STUCK_AFTER * 1e9
    stuck, waiting = (
        PoolView(oldest={"queued": thresholds.STUCK_AFTER + more}) for more in (0.0, -0.1)
    )
    assert reading.severity(stuck) > reading.severity(waiting)
    assert thresholds.STUCK_ALERT_AFTER > thresholds.STUCK_AFTER
    for more, slow in ((0.01, True), (-0.01, False)):
        unread = thresholds.UNREAD_SHARE + more
        times = {"unread": unread, "reading": 1 - unread}
        view = PoolView(oldest={"queued": 2.0}, seconds_by_phase=times)
        assert ("slow consumer" in (reading.reading(view) or "")) is slow
