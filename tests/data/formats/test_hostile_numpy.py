"""NumPy files of strangers: each kind that an attack found is refused with one message, before memory is taken."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from dpdrun import commands
from dpdrun.data.formats.waveform_reader import read_waveform
from dpdrun.diagnosis.signal.files import read_signal_pair
from dpdrun.errors import DataError

X = np.arange(1, 65) * (1 + 1j)


def array(header: str | None = None) -> bytes:
    """Return an array in NumPy's format, with another header."""
    file = io.BytesIO()
    np.save(file, X)
    content = file.getvalue()
    if header is None:
        return content
    padded = header.ljust(117) + "\n"
    return content[:8] + len(padded).to_bytes(2, "little") + padded.encode() + content[128:]


def zipped(x: bytes, *, method: int = zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name in ("x.npy", "y.npy"):
            archive.writestr(name, x if name == "x.npy" else array())
    return file.getvalue()


def patched(offset: int, value: bytes) -> bytes:
    """Return an archive with other bytes in the headers of its members, local and central."""
    content = bytearray(zipped(array()))
    for signature, at in ((b"PK\x03\x04", offset), (b"PK\x01\x02", offset + 2)):
        start = 0
        while (found := content.find(signature, start)) >= 0:
            content[found + at : found + at + len(value)] = value
            start = found + 4
    return bytes(content)


def corrupt_lzma() -> bytes:
    content = bytearray(zipped(array(), method=zipfile.ZIP_LZMA))
    content[60:90] = b"\xff" * 30
    return bytes(content)


SHAPED = "{'descr': '<c16', 'fortran_order': False, 'shape': %s, }"
FILES = {
    "unclosed": zipped(array((SHAPED % "(64,)")[:-4])),
    "string": zipped(array("{'descr': '<c16', 'fortran_order': False, 'shape': (64,), ")),
    "dedent": zipped(array("  {'descr':\n 1\n")),
    "bool": zipped(array(SHAPED % "(True, 2)")),
    "huge": zipped(array(SHAPED % "(1000000000000000,)")),
    "26 digits": zipped(array(SHAPED % "(99999999999999999999999999,)")),
    "negative": zipped(array(SHAPED % "(-64,)")),
    "encrypted": patched(6, b"\x01\x00"),
    "method 99": patched(8, b"\x63\x00"),
    "version 25.5": patched(4, b"\xff\x00"),
    "lzma": corrupt_lzma(),
    "no array": zipped(b"text"),
    "pickle": zipped(array(SHAPED.replace("<c16", "|O") % "(64,)")),
}


@pytest.mark.parametrize("kind", FILES)
def test_a_hostile_archive_is_one_message(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    path.write_bytes(FILES[kind])
    result = CliRunner().invoke(commands.app, ["data", "inspect", str(path)])
    assert result.exit_code == 2, result.output
    assert len(result.stderr.strip().splitlines()) <= 3
    assert len(result.stderr) < 1000
    with pytest.raises(DataError):
        read_waveform(path)
    np.save(tmp_path / "y.npy", X)
    with pytest.raises(DataError):
        read_signal_pair(path, tmp_path / "y.npy")
