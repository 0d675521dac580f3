"""Pages of the documentation that messages name, such as docs/data.md, for `dpdrun explain`."""

from __future__ import annotations

import re
from pathlib import Path

from dpdrun.errors import DpdrunError

_PACKAGE = Path(__file__).parents[1]
# In an installed wheel the pages are part of the package (pyproject.toml lists them); in a clone they are next to it.
FOLDER = _PACKAGE / "docs" if (_PACKAGE / "docs").is_dir() else _PACKAGE.parent / "docs"


def page(name: str) -> str:
    """Return the text of a page, `docs/data.md`, or of one of its sections, `docs/results.md#case-study`.

    Raises:
        DpdrunError: there is no such page or section; the message lists those that there are.
    """
    name, _, anchor = name.removeprefix("docs/").partition("#")
    pages = {path.name: path for path in sorted(FOLDER.glob("*.md"))}
    if name not in pages:
        raise DpdrunError(f"there is no page docs/{name}; there are: {', '.join(f'docs/{each}' for each in pages)}")
    text = pages[name].read_text(encoding="utf-8")
    if not anchor:
        return text
    sections = {_anchor(part): part for part in re.split(r"^(?=## )", text, flags=re.MULTILINE)[1:]}
    if anchor not in sections:
        raise DpdrunError(f"docs/{name} has no section #{anchor}; it has: {', '.join(f'#{each}' for each in sections)}")
    return sections[anchor]


def _anchor(section: str) -> str:
    """Return the anchor of a section, as web servers make it from its heading."""
    heading = section.partition("\n")[0].removeprefix("## ").lower()
    return re.sub(r"[^\w\- ]", "", heading).strip().replace(" ", "-")
