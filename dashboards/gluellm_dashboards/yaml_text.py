"""Generated YAML: long lines stay whole, and texts of several lines are written as such."""

from __future__ import annotations

import yaml


class _Dumper(yaml.SafeDumper):
    """With our own way to write a text."""


def _string(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    style = "|" if "\n" in value else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _string)


def written(content: object, source: str) -> str:
    """The text of a file, headed by the source that it was made from."""
    head = f"# Written by `make dashboards` from {source}; never edit it here.\n"
    return head + yaml.dump(content, Dumper=_Dumper, sort_keys=False, width=10_000)
