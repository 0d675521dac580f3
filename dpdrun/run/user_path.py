"""Paths that a user wrote, in a recipe or on the command line, which may be anything."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path


def expand_user(text: str) -> Path:
    """Return the path, with `~` as the home folder; as a shell does, keep the name of an unknown user as it stands."""
    try:
        return Path(text).expanduser()
    except RuntimeError:
        return Path(text)


def is_there(path: Path) -> bool:
    """Return whether a path can be reached; False also for what no file can be called (too long, a NUL byte)."""
    with suppress(OSError, ValueError):
        return path.exists()
    return False
