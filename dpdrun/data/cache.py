"""The folder for downloads: `DPDRUN_CACHE`, or the platform's cache folder."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from dpdrun.errors import DataError
from dpdrun.run.files import expand_user

ENV = "DPDRUN_CACHE"


def cache_dir() -> Path:
    """Return the folder for downloaded captures (it need not exist yet).

    XDG base directories on Linux (https://specifications.freedesktop.org/basedir-spec), ~/Library/Caches on macOS,
    %LOCALAPPDATA% on Windows.
    """
    if os.environ.get(ENV):
        return expand_user(os.environ[ENV])
    try:
        Path.home()
    except RuntimeError:  # of a user of a container whom its passwd does not list, without HOME
        raise DataError(f"the home folder of this user is unknown: set {ENV} to a folder for downloads") from None
    if sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    elif sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "dpdrun"
