"""Workflows of the repository: what they run exists, and the actions that they use are pinned."""

import re
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
WORKFLOWS = ROOT / ".github" / "workflows"


def test_nightly_workflow_runs_every_study_of_make_nightly():
    """Each study is a job of its own, so that one that fails or hangs stops no other."""
    workflow = yaml.safe_load((WORKFLOWS / "nightly.yml").read_text())
    makefile = (ROOT / "tests" / "studies" / "Makefile").read_text()
    studies = re.search(r"^NIGHTLY := (.*)$", makefile, re.MULTILINE)
    assert workflow["jobs"]["study"]["strategy"]["matrix"]["study"] == studies[1].split()


def test_actions_are_pinned_by_hash():
    """A tag can be moved to other code."""
    used = [
        use for path in WORKFLOWS.iterdir() for use in re.findall(r"uses: (.*)", path.read_text())
    ]
    assert used
    assert not [use for use in used if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v[\d.]+", use)]
