"""Open a file by its content; the name matters only for files without a header."""

from __future__ import annotations

import tarfile
from collections.abc import Mapping
from pathlib import Path

from dpdrun.data.checks import special
from dpdrun.data.formats.raw import SUFFIX_TYPES
from dpdrun.data.signals import MIN_SIGNAL, Contents, Variable, contents_of
from dpdrun.errors import DataError, reading, reason_of
from dpdrun.recipe import plugins
from dpdrun.run.symlinks import is_special

HEAD_BYTES = 8192
HDF5 = b"\x89HDF\r\n\x1a\n"
HDF5_OFFSETS = (0, 512, 1024, 2048, 4096)  # after a user block, as MATLAB writes one
TEXT_CONTROLS = frozenset(b"\t\n\r\f\x1b")
NOT_CAPTURES = {
    b"\x1f\x8b": "a gzip archive; unpack it",
    b"BZh": "a bzip2 archive; unpack it",
    b"\xfd7zXZ": "an xz archive; unpack it",
    b"7z\xbc\xaf": "a 7z archive; unpack it",
    b"Rar!": "a rar archive; unpack it",
    b"%PDF": "a PDF",
    b"\x89PNG": "a picture",
    b"\xd0\xcf\x11\xe0": "an old Excel or Word file; export it as CSV",
    b"TDSh": "an index of a TDMS file; give the .tdms file",
    b"{WWAVEFORM": "an encrypted R&S waveform, which only the generator can read",
}


def kind_of(path: Path, where: str) -> str:
    """Return the format of a file: npz, npy, matlab, hdf5, wv, tdms, wav, sigmf, sigmf-archive,
    sigmf-collection, iq-tar, text or raw.

    Or the name of a format of a plug-in, whose `matches(path, head)` says so.

    Raises:
        DataError: it is none of them; the message says what it is, if that is known.
    """
    if is_special(path):  # a file is read several times: its kind, its header, its samples
        raise special(where)
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    if not head:
        raise DataError(f"{where}: the file is empty")
    for entry in plugins.foreign("formats"):  # before ours, which take any text for a table
        if entry.load().matches(path, head):
            return entry.name
    for start, what in NOT_CAPTURES.items():
        if head.startswith(start):
            raise DataError(f"{where}: this is {what}")
    by_start = {
        b"PK\x03\x04": "npz", b"PK\x05\x06": "npz", b"\x93NUMPY": "npy", b"{TYPE:": "wv", b"TDSm": "tdms",
    }  # fmt: skip
    for start, kind in by_start.items():
        if head.startswith(start):
            return kind
    if any(head[at : at + 8] == HDF5 for at in HDF5_OFFSETS):
        return "hdf5"
    if head[:4] in (b"RIFF", b"RF64") and head[8:12] == b"WAVE":
        return "wav"
    if head[257:262] == b"ustar":
        return _tar_kind(path, where)
    return _looser_kind(path, head)


def _looser_kind(path: Path, head: bytes) -> str:
    """Return the format of a file that no fixed first bytes tell."""
    from dpdrun.data.formats.matlab import v4_order

    suffix = path.suffix.lower()
    if suffix == ".sigmf-collection":
        return "sigmf-collection"
    if suffix == ".sigmf-data" or (suffix == ".sigmf-meta" and head.lstrip()[:1] == b"{"):
        return "sigmf"
    if head[126:128] in (b"IM", b"MI") and head[:1].isascii() and (head[124:126] in (b"\0\1", b"\1\0")):
        return "matlab"
    if head.startswith(b"MATLAB 5.0") or (suffix not in SUFFIX_TYPES and v4_order(head) is not None):
        return "matlab"
    if head.startswith((b"\xff\xfe", b"\xfe\xff")) and suffix not in SUFFIX_TYPES:
        return "text"
    is_text = all(byte >= 32 or byte in TEXT_CONTROLS for byte in head) and suffix not in SUFFIX_TYPES
    return "text" if is_text and b"\x7f" not in head else "raw"


def _tar_kind(path: Path, where: str) -> str:
    with reading(where, "tar archive"), tarfile.open(path, "r:") as archive:
        names = [member.name.lower() for member in archive if member.isreg()]
    if any(name.endswith(".sigmf-meta") for name in names):
        return "sigmf-archive"
    if any(name.endswith(".xml") for name in names):
        return "iq-tar"
    raise DataError(f"{where}: this tar archive is neither an .iq.tar (no .xml) nor a SigMF archive; unpack it")


def open_contents(
    path: Path, where: str, *, dtype: str | None = None, columns: str | None = None, channels: int = 1
) -> Contents:
    """List what a file holds, whatever its format; samples are read when a signal is loaded.

    Args:
        path: the file.
        where: its name in messages.
        dtype: of a raw file, by SigMF's name; if given, the file is read as raw regardless of its content.
        columns: names of the columns of a text file.
        channels: of a raw file, interleaved.

    Raises:
        DataError: not a known format, damaged, or an optional library is missing.
    """
    try:
        return _open(path, where, dtype, columns, channels)
    except OSError as error:
        raise DataError(f"{where}: cannot be read: {error.strerror or error}") from None


def _open(path: Path, where: str, dtype: str | None, columns: str | None, channels: int) -> Contents:
    from dpdrun.data.formats.raw import read_raw

    if dtype is not None:
        return read_raw(path, where, dtype, channels)
    kind = kind_of(path, where)
    if columns is not None and kind != "text":
        raise DataError(f"{where}: --columns (data.columns) names the columns of text, but this is no text file")
    if kind == "raw":
        return read_raw(path, where, None, channels)
    if kind == "text":
        from dpdrun.data.formats.text_table import read_table

        return read_table(path, where, columns)
    entry = plugins.find("formats", kind)
    assert entry is not None, kind
    if entry.origin is not None:
        return _read_foreign(entry, path, where)
    found: Contents = entry.load()(path, where)
    return found


def _read_foreign(entry: plugins.Entry, path: Path, where: str) -> Contents:
    """Return what a format of a plug-in reads: arrays and numbers by name, as in an .npz.

    Raises:
        DataError: it raised one, or returned something else.
    """
    import numpy as np

    found, whose = entry.load().read(path), f"{where}: format {entry.name} of {entry.origin}: read returned"
    if not isinstance(found, Mapping):
        raise DataError(f"{whose} a {type(found).__name__}, not a dictionary of arrays (docs/plugins.md)")
    arrays = {}
    for name, value in found.items():
        try:
            arrays[str(name)] = np.asarray(value)
        except ValueError as error:
            raise DataError(f"{whose} {name} as no array of numbers: {reason_of(error)}") from None
        if arrays[str(name)].dtype.kind not in "biufc":
            raise DataError(f"{whose} {name} as {arrays[str(name)].dtype}, not numbers")
    if all(array.size < MIN_SIGNAL for array in arrays.values()):
        raise DataError(f"{whose} no signal: {', '.join(arrays) or 'nothing'}; it has to return input and output")
    variables = (
        Variable(name, array.shape, str(array.dtype), lambda array=array: array)  # type: ignore[misc]
        for name, array in arrays.items()
    )
    return contents_of(entry.name, variables, where)
