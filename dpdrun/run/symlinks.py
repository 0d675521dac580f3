"""Links that lead out of a folder: who names a folder from somebody else has not named what its links lead to."""

from __future__ import annotations

import os
from pathlib import Path

from dpdrun.errors import RunError


def escapes(path: Path, folder: Path) -> Path | None:
    """Where a link at `path` leads, if that is not in `folder`; None where all is as it seems."""
    target = Path(os.path.realpath(path))  # Path.resolve raises where links go in circles
    return target if path.is_symlink() and not target.is_relative_to(folder.resolve()) else None


def reject_escaping_dirs(folder: Path) -> None:
    """Refuse a folder whose subfolders are links out of it: what is written into them would land there.

    Links to files are harmless: a file is written under another name and renamed, which replaces the link.

    Raises:
        RunError: naming the link.
    """
    for path in folder.iterdir() if folder.is_dir() else ():
        target = escapes(path, folder)
        if target is not None and not path.is_file():
            raise RunError(f"{path}: a link out of this folder, to {target}; put the folder itself there")
