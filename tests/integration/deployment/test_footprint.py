"""The formula in docs/deploy.md for the number of series and the memory of a process."""

from pathlib import Path

import pytest

from studies.bench import footprint

PAGE = Path(__file__).parents[3] / "docs" / "deploy.md"


@pytest.mark.parametrize(("providers", "origins"), [(1, 1), (5, 4)])
def test_the_formula_matches_a_healthy_process(providers, origins):
    """The number of series is exact, and the memory is within its bound."""
    found = footprint.measure(providers, origins)
    assert found["series"] == footprint.series(providers, origins)
    assert 0 < found["bytes"] < found["series"] * footprint.BYTES_OF_A_SERIES


def test_origins_beyond_the_limit_count_as_one():
    """`max_origins` limits a process: the 21st and the 30th origin are both `_OTHER`."""
    assert footprint.measure(1, 30)["series"] == footprint.series(1, 21)


def test_deployment_page_has_the_formula():
    """The page has the numbers that are measured here."""
    formula = (
        f"series = {footprint.OF_THE_PROCESS} + libraries + "
        f"{footprint.OF_A_PROVIDER} * providers + {footprint.OF_AN_ORIGIN} * origins"
    )
    assert formula in PAGE.read_text()
    assert f"at most {footprint.BYTES_OF_A_SERIES / 1000:.1f} kB" in PAGE.read_text()
