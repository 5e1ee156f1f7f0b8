"""The essential queries. Their source is ``dashboards/gluellm_dashboards/essential.py``."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.resources import files
from typing import Final


@dataclass(frozen=True, slots=True)
class Query:
    """A question and its PromQL template."""

    question: str
    template: str
    unit: str
    """Of the answer: ``s``, ``ratio``, ``/s``, ``s/s`` or empty for a plain number."""

    def promql(self, matchers: str = "", window: str = "5m") -> str:
        """Return the query with label matchers such as ``job="api"`` and a window for its rates."""
        return self.template.replace("%matchers%", matchers).replace("%window%", window)


_FILE: Final = files(__package__).joinpath("queries.json")
QUERIES: Final = tuple(Query(**one) for one in json.loads(_FILE.read_text(encoding="utf-8")))
