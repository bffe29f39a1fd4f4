"""Publishes a few files of the repository that live outside docs/pages as part of the site.

Pages link to them by their path in the repository, so that the links work on a code host too. Here
the files join the site and the links are rewritten.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]

PUBLISHED = {
    "CHANGELOG.md": "changelog.md",
    "experiments/benchmarks/RESULTS.md": "benchmarks/measurements.md",
    "tpu_scripts/README.md": "how-to/tpu_scripts.md",
    **{
        path.relative_to(ROOT).as_posix(): f"paper/{path.name}"
        for path in sorted((ROOT / "experiments/paper/results").iterdir())
    },
}
"""Path in the repository → path in the site."""

_LINK = re.compile(r"\[([^\]\[]*)\]\((?!https?:|#|mailto:)([^)\s#]+)(#[^)]*)?\)")


def on_files(files: Files, config: Any) -> Files:
    """Adds the published files."""
    for source, target in PUBLISHED.items():
        files.append(File.generated(config, target, abs_src_path=str(ROOT / source)))
    return files


def on_page_markdown(markdown: str, page: Page, config: Any, files: Files) -> str:
    """Makes links to files of the repository links within the site, or plain text."""
    if page.parent is None:  # a tab of its own, with no other pages to list beside it
        page.meta["hide"] = ["navigation"]
    place = page.file.src_uri
    source = next((source for source, target in PUBLISHED.items() if target == place), None)
    folder = posixpath.dirname(source or f"docs/pages/{place}")

    def rewrite(match: re.Match[str]) -> str:
        text, link, anchor = match[1], match[2], match[3] or ""
        linked = posixpath.normpath(posixpath.join(folder, link))
        target = PUBLISHED.get(linked)
        if target is None and linked.startswith("docs/pages/"):
            target = linked.removeprefix("docs/pages/")
        if target is None:  # a file of the repository that the site does not hold
            return text
        return f"[{text}]({posixpath.relpath(target, posixpath.dirname(place) or '.')}{anchor})"

    return _LINK.sub(rewrite, markdown)
