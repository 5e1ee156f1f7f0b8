"""A mutant: a snippet of a source file and its replacement."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path

SOURCE = Path("src")
LIBRARY = "opentelemetry/instrumentation/gluellm"


@dataclass(frozen=True, slots=True)
class Mutant:
    """An entry of ``mutants.toml``."""

    name: str
    kind: str
    file: str
    before: str
    after: str
    effect: str
    detected_by: str = ""
    """The test that detected it last; it runs first."""

    @property
    def path(self) -> Path:
        """Path of the file, relative to the root of the repository."""
        command = self.file.startswith("gluellm_pools/")
        return SOURCE / self.file if command else SOURCE / LIBRARY / self.file

    def lines(self, root: Path) -> set[int]:
        """Numbers of the changed lines; for an insertion, those of the adjacent lines.

        Raises:
            ValueError: the snippet is not exactly once in the file.
        """
        text = (root / self.path).read_text(encoding="utf-8")
        if text.count(self.before) != 1:
            raise ValueError(
                f"{self.name}: its text occurs {text.count(self.before)} times in {self.file}, not"
                " once. Adapt `before` in mutants.toml."
            )
        first = text[: text.index(self.before)].count("\n") + 1
        old, new = self.before.split("\n"), self.after.split("\n")
        changed: set[int] = set()
        for tag, begin, end, *_ in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
            if tag == "insert":
                changed.update({first + max(begin - 1, 0), first + min(begin, len(old) - 1)})
            elif tag != "equal":
                changed.update(range(first + begin, first + end))
        return changed

    @contextmanager
    def applied(self, root: Path) -> Iterator[None]:
        """Apply the mutant to the file inside the block."""
        path = root / self.path
        text = path.read_text(encoding="utf-8")
        path.write_text(text.replace(self.before, self.after), encoding="utf-8")
        try:
            yield
        finally:
            path.write_text(text, encoding="utf-8")
