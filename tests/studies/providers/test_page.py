"""docs/providers.md says what the census sees. Its rows are held by ``test_census``."""

from __future__ import annotations

from dataclasses import replace

import pytest

from .__main__ import PAGE
from .measuring import metric_names
from .page import page
from .rows import BY_PROVIDER, ROWS
from .seeing import Fakes, see

pytestmark = [
    pytest.mark.all_sdks,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # the SDKs' own
]
FULLEST = ("anthropic", "openai", "cohere", "bedrock", "xai")
"""Of each library, the provider that has all its limits and timeouts."""


def test_page_is_up_to_date(fakes: Fakes) -> None:
    """Else run ``make providers``."""
    visible = {}
    for provider in FULLEST:
        row = BY_PROVIDER[provider]
        visible[row.library] = metric_names(see(row, fakes))
    assert PAGE.read_text() == page(ROWS, visible)


def test_provider_that_can_not_be_seen_is_told_at_once() -> None:
    """In the first line, with the reason."""
    rows = [BY_PROVIDER["openai"], replace(BY_PROVIDER["groq"], hidden="its SDK can't be built")]
    assert "**1 of 2 visible.** The rest: groq: its SDK can't be built." in page(rows, {})
