"""All that is fuzzed."""

from __future__ import annotations

from .answers import Answers
from .living import Living
from .shown import Shown, Volley
from .stores import Stores
from .target import Target
from .wire import Mangled, Wire

TARGETS: tuple[type[Target], ...] = (Wire, Mangled, Shown, Volley, Living, Stores, Answers)
