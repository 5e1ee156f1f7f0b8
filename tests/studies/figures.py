"""The figures that a long test ends with: printed for a person, and kept as JSON for the report."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

Figure = int | float | str
"""A count, a number with its unit in the name of the figure, or a few words."""


@dataclass(slots=True)
class Figures:
    """What one run counted, in the order in which it is told."""

    title: str
    values: dict[str, Figure] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)
    """What did not hold, in words; empty when everything did."""

    @property
    def held(self) -> bool:
        """Whether everything did that was to hold."""
        return not self.broken

    def finish(self, file: Path | None = None) -> int:
        """Print them, write them to a file if one is named, and return the exit status."""
        print(f"\n{self.title}")
        for name, value in self.values.items():
            print(f"  {name}: {_shown(value)}")
        for what in self.broken:
            print(f"  DID NOT HOLD: {what}")
        if file is not None:
            kept = {"title": self.title, "figures": self.values, "broken": self.broken}
            file.write_text(json.dumps(kept, indent=1) + "\n")
        return 0 if self.held else 1


def _shown(value: Figure) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
