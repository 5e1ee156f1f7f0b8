"""Where the program's calls go: handed to it as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

MAX_STREAMS = 4
"""HTTP/2 streams that a connection may have at once."""


@dataclass(frozen=True)
class Targets:
    """Base URLs by what is there."""

    plain: str
    tight: str
    odd: str
    anthropic: str
    http2: str
    tls: str
    xai: str
    """Host and port, as gRPC takes them."""
    authority: str
    """File with the certificate that `tls` is signed with."""
    refused: str
    """Nobody listens."""
    spiteful: str
    """Nobody listens either; the program's own span processor fails for it."""
    deaf: str
    """Takes connections and never answers, a TLS handshake included."""

    def write(self, file: Path) -> None:
        """Write it for `read`."""
        file.write_text(json.dumps(asdict(self)))

    @classmethod
    def read(cls, file: Path) -> Self:
        """What `write` wrote."""
        return cls(**json.loads(file.read_text()))
