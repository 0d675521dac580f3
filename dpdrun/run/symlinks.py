"""Rejects what does not belong into a folder received from someone else: symlinks out of it, pipes and devices."""

from __future__ import annotations

import os
from pathlib import Path

from dpdrun.errors import RunError


def escapes(path: Path, folder: Path) -> Path | None:
    """Return the target of a symlink at `path` if it lies outside of `folder`, else None."""
    target = Path(os.path.realpath(path))  # Path.resolve raises on circular links
    return target if path.is_symlink() and not target.is_relative_to(folder.resolve()) else None


def is_special(path: Path) -> bool:
    """Return whether a path is a pipe, a socket or a device: reading it may never return, or only once."""
    return path.exists() and not path.is_file() and not path.is_dir()


def reject_special(*folders: Path) -> None:
    """Raise RunError for a pipe, a socket or a device in one of some folders, which need not exist."""
    for folder in folders:
        for path in folder.iterdir() if folder.is_dir() else ():
            if is_special(path):
                raise RunError(f"{path}: a pipe or a device, no file; remove it")


def reject_escaping_dirs(folder: Path, *, depth: int = 1) -> None:
    """Raise RunError for a folder whose subfolders are links out of it: files written into them would land there.

    Links to files are harmless: a file is written under a temporary name and renamed, which replaces the link.

    Args:
        folder: of a run, or of a pipeline, a product or a loop of runs; it may be a link itself, or not be there.
        depth: levels of folders that are written into.
    """
    places = [folder]
    for _ in range(depth):
        inner = [path for place in places if place.is_dir() for path in place.iterdir()]
        for path in inner:
            target = escapes(path, folder)
            if target is not None and not path.is_file():
                raise RunError(f"{path}: a symlink out of this folder, to {target}; replace it with the folder itself")
        places = [path for path in inner if not path.is_symlink()]
