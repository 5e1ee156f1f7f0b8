"""Package metadata: the README, with links that also work on a package index.

``README_BASE`` is the address of the repository, which `make dist BASE=...` passes on. Without it,
links stay relative.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

_LINK = re.compile(r"(!?)\[([^\]]*)\]\((?![a-z]+:|#)([^)\s]+)\)")


def absolute(text: str, base: str, version: str) -> str:
    """Return the text with its relative links and pictures below ``base``, at the version's tag."""

    def link(match: re.Match[str]) -> str:
        picture, label, target = match.groups()
        kind = "raw" if picture else "blob"
        return f"{picture}[{label}]({base}/{kind}/v{version}/{target})"

    return _LINK.sub(link, text)


class Readme(MetadataHookInterface):
    """Sets the fields that pyproject.toml lists as dynamic."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Add the README and, with a base, the project's addresses."""
        text = (Path(self.root) / "README.md").read_text(encoding="utf-8")
        base = os.environ.get("README_BASE", "").rstrip("/")
        metadata["urls"] = {}
        if base:
            version = metadata["version"]
            text = absolute(text, base, version)
            metadata["urls"] = {
                "Source": base,
                "Documentation": f"{base}/blob/v{version}/docs/start.md",
                "Changelog": f"{base}/blob/v{version}/CHANGELOG.md",
            }
        metadata["readme"] = {"content-type": "text/markdown", "text": text}
