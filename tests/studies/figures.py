"""What studies share: their options, and the figures that they print at the end."""

import argparse
from dataclasses import dataclass, field


class Parser(argparse.ArgumentParser):
    """The options of a study."""

    def __init__(self, study: str, description: str | None) -> None:
        super().__init__(
            prog=f"make -C tests/studies {study}",
            description=description,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )


@dataclass(slots=True)
class Figures:
    """Results of one run, in the order in which they are printed."""

    title: str
    values: dict[str, int | float | str] = field(default_factory=dict)
    """Counts, numbers with their unit in the name, or short texts."""
    broken: list[str] = field(default_factory=list)
    """Descriptions of the checks that failed."""

    def finish(self) -> int:
        """Print the figures, and return the exit status."""
        print(f"\n{self.title}")
        for name, value in self.values.items():
            print(f"  {name}: {value:.3g}" if isinstance(value, float) else f"  {name}: {value}")
        for what in self.broken:
            print(f"  FAILED: {what}")
        return int(bool(self.broken))
