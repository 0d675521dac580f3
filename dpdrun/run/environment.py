"""Where and when a file was made: what a reader needs to make it again, or to compare it with another one."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version

from dpdrun.run.files import Json

PACKAGES = ("dpdrun", "torch", "numpy", "scipy")


def environment() -> Json:
    """Return date (UTC, ISO 8601), host, system, cores, and versions; imports none of the packages."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "host": platform.node(),
        "system": platform.platform(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        **{name: _version(name) for name in PACKAGES},
    }


@cache
def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
