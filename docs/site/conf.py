"""Configuration of the site (Sphinx), which ``make docs`` builds into .cache/site.

Pages keep their paths in the repository, so a link works there and on the site.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sphinx.application import Sphinx


project = "opentelemetry-instrumentation-gluellm"
author = "The project's contributors"
html_title = "GlueLLM pools"

extensions = ["myst_parser"]
root_doc = "README"
include_patterns = ["*.md", "docs/**.md", "dashboards/**.md"]
exclude_patterns = [".*", "**/node_modules", "tests", "src"]
myst_heading_anchors = 4
myst_links_external_new_tab = False

html_theme = "furo"
html_static_path = ["style.css"]
html_css_files = ["style.css"]
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False

PAGES = {
    "Use it": [
        "docs/start",
        "docs/where-40-seconds-go",
        "docs/grafana",
        "docs/when-calls-hang",
        "docs/connection-pooling",
        "docs/providers",
        "docs/frameworks",
        "docs/commands",
        "docs/deploy",
    ],
    "Reference": [
        "docs/metrics",
        "docs/settings",
        "docs/security-and-cost",
        "dashboards/README",
        "dashboards/runbooks/README",
        "CHANGELOG",
    ],
    "Take part": ["CONTRIBUTING", "SECURITY", "docs/maintainers/*"],
}
"""The contents beside each page. A page that is in neither these nor `FOLDERS` fails the build."""

FOLDERS = {
    "dashboards/README": "dev/README",
    "dashboards/runbooks/README": "GlueLLM*",
    "docs/maintainers/architecture": "decisions/README",
    "docs/maintainers/decisions/README": "[0-9]*",
}
"""Pages below another one."""


def _contents(pages: list[str], *options: str) -> str:
    return "\n".join(["", "", "```{toctree}", ":glob:", *options, "", *pages, "```", ""])


def _add_contents(_app: Sphinx, page: str, source: list[str]) -> None:
    """Add tables of contents, which would appear as text in the repository."""
    if page == root_doc:
        for caption, pages in PAGES.items():
            source[0] += _contents(pages, ":hidden:", f":caption: {caption}")
    elif page in FOLDERS:
        source[0] += _contents([FOLDERS[page]])


def _add_index(app: Sphinx, failure: Exception | None) -> None:
    if failure is None:
        shutil.copyfile(app.outdir / "README.html", app.outdir / "index.html")


def setup(app: Sphinx) -> None:
    """Connect the handlers above."""
    app.connect("source-read", _add_contents)
    app.connect("build-finished", _add_index)
