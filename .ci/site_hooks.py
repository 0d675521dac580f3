"""Adapt pages that are also read in the repository: the site has only what is under docs/."""

from __future__ import annotations

import posixpath
import re
from typing import Any

OUTSIDE = re.compile(r"\[([^\]]+)\]\((\.\.?/[^)#\s]+)(?:#[^)]*)?\)")


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Replace links to files outside of docs/ by their text and path."""
    folder = posixpath.dirname(page.file.src_uri)

    def replaced(link: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(folder, link[2]))
        if not target.startswith("../"):
            return link[0]
        path = target.removeprefix("../")
        text = link[1].strip("`")
        return f"`{path}`" if text in (path, posixpath.basename(path)) else f"{link[1]} (`{path}`)"

    return OUTSIDE.sub(replaced, markdown)
