"""Packets that are dropped, between two network namespaces."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PROGRAM = Path(__file__).with_name("programs") / "lost_path.py"
IN_A_NAMESPACE = ["unshare", "--map-root-user", "--net"]


def cannot_make_networks() -> str:
    """Why this machine can't play the scenario; empty if it can."""
    for tool in ("unshare", "nsenter", "ip"):
        if shutil.which(tool) is None:
            return f"there is no {tool}"
    cable = "ip link add here type veth peer name there"
    tried = subprocess.run(
        [*IN_A_NAMESPACE, "sh", "-c", cable], capture_output=True, text=True, check=False
    )
    return f"no virtual network: {tried.stderr.strip()}" if tried.returncode else ""


def silent(report: dict[str, Any]) -> list[dict[str, str]]:
    """The findings on silent connections, the provider, and both."""
    kinds = ("silent_connections", "slow_provider", "calls_silent")
    return [finding for finding in report["findings"] if finding["kind"] in kinds]


def test_lost_path_is_reported_only_where_there_is_evidence_and_while_it_is_lost() -> None:
    """One request is sent into the lost path, one was acknowledged before, one has keepalive."""
    if reason := cannot_make_networks():
        pytest.skip(reason)
    done = subprocess.run(
        [*IN_A_NAMESPACE, sys.executable, str(PROGRAM)],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    before, lost, back, ended = map(json.loads, done.stdout.splitlines())
    assert before["peers"] == ["unknown", "unknown"]
    assert lost["peers"] == ["unacknowledged", "unknown", "unreachable"]
    assert back["peers"] == ["unknown"] * 3
    assert ended["statuses"] == [200] * 3
    assert not silent(before) + silent(back)
    (finding,) = silent(lost)
    assert finding["severity"] == "error"
    for text in ("nobody at the other end since", "keepalive probes unanswered since"):
        assert text in finding["observed"]
        assert lost["text"].count(text) == 1
    assert "SO_KEEPALIVE" in finding["advice"]
