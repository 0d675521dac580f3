from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from dpdrun.data.formats.detect import kind_of, open_contents
from dpdrun.data.formats.waveform_reader import open_waveform
from dpdrun.errors import DataError
from tests.data.formats.test_damaged import KINDS, make
from tests.data.records import read


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("cf32", "sigmf-meta", "sigmf")])
def test_the_name_of_a_file_does_not_matter(kind: str, tmp_path: Path) -> None:
    path, source = make(tmp_path, kind)
    renamed = tmp_path / "capture.xyz"
    path.rename(renamed)
    assert kind_of(renamed, "a") not in ("raw", *(["text"] if kind != "txt" else []))
    assert open_contents(renamed, "a").signals
    assert source


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\x1f\x8b\x08rest", "a gzip archive; unpack it"),
        (b"%PDF-1.7", "this is a PDF"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1", "export it as CSV"),
        (b"TDSh" + bytes(40), "an index of a TDMS file"),
        (b"", "the file is empty"),
        (b"a;b\n1;x\n", "no table of numbers|not a number"),
    ],
)
def test_what_it_is_instead(data: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.mat").write_bytes(data)
    with pytest.raises(DataError, match=message):
        read(str(tmp_path / "a.mat"))


def test_libraries_are_imported_for_the_formats_that_need_them(tmp_path: Path) -> None:
    """Opening an npz, text or raw capture costs no import of scipy.io, h5py or npTDMS."""
    _, source = make(tmp_path, "txt")
    code = (
        "import sys\nfrom dpdrun.data.sources import read_source\nfrom dpdrun.recipe.schema import DataSection\n"
        f"read_source(DataSection(source={source!r}))\n"
        "assert not {'scipy.io', 'h5py', 'nptdms', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.usefixtures("no_waiting")
def test_a_pipe_or_a_device_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.npz")
    (tmp_path / "zero.npz").symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket.npz"))
        for name in ("pipe.npz", "zero.npz", "socket.npz"):
            message = rf"{name}: a pipe or a device, no file; write what comes out of it into a file"
            with pytest.raises(DataError, match=message):
                open_contents(tmp_path / name, name)
            with pytest.raises(DataError, match=message), open_waveform(tmp_path / name):
                pass
