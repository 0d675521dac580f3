"""Waveforms piece by piece: formats that hold more than memory, and faults in the middle of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dpdrun.data.formats.csv_text import stream_columns
from dpdrun.data.formats.waveform import RAW
from dpdrun.data.formats.waveform_reader import open_waveform, read_waveform
from dpdrun.errors import DataError

RNG = np.random.default_rng(0)
WAVE = (RNG.standard_normal(1000) + 1j * RNG.standard_normal(1000)).astype(np.complex64).astype(np.complex128)


def saved(folder: Path) -> dict[str, Path]:
    """The same wave in every format, layout and type that holds it exactly."""
    pairs = np.stack([WAVE.real, WAVE.imag], axis=1)
    arrays = {
        "complex128": WAVE, "complex64": WAVE.astype(np.complex64), "pairs": pairs, "big": WAVE.astype(">c16"),
        "float32": pairs.astype(np.float32), "columns": np.asfortranarray(pairs),
    }  # fmt: skip
    paths = {}
    for name, array in arrays.items():
        for suffix, save in ((".npy", np.save), (".npz", np.savez), ("_packed.npz", np.savez_compressed)):
            path = folder / f"{name}{suffix}"
            save(path, array) if save is np.save else save(path, x=array)  # type: ignore[operator]
            paths[path.name] = path
    for suffix in RAW:
        paths[suffix] = folder / f"wave{suffix}"
        WAVE.astype("<c8").tofile(paths[suffix])
    paths["csv"] = folder / "wave.csv"
    paths["csv"].write_text("I,Q\n" + "".join(f"{z.real!r},{z.imag!r}\n" for z in WAVE.tolist()))
    return paths


def test_every_format_gives_the_same_pieces(tmp_path: Path) -> None:
    paths = saved(tmp_path)
    assert len(paths) == 24
    for name, path in paths.items():
        with open_waveform(path, size=64) as waveform:
            assert waveform.samples == (None if name == "csv" else len(WAVE)), name
            assert waveform.done == 0
            pieces = list(waveform.pieces())
            assert waveform.done == 1, name
        assert all(piece.dtype == np.complex128 for piece in pieces)
        if name != "csv":
            assert [len(piece) for piece in pieces] == [64] * 15 + [40], name
        np.testing.assert_array_equal(np.concatenate(pieces), WAVE, err_msg=name)


def test_reading_stops_where_requested(tmp_path: Path) -> None:
    np.save(tmp_path / "w.npy", WAVE)
    with open_waveform(tmp_path / "w.npy", size=100) as waveform:
        pieces = waveform.pieces()
        next(pieces)
        next(pieces)
        assert waveform.done == 0.2


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_csv_is_read_in_blocks_with_its_rows_counted_on(end: str, tmp_path: Path) -> None:
    rows = [f"{z.real:.6f},{z.imag:.6f}" for z in WAVE]
    path = tmp_path / "w.csv"
    path.write_bytes(end.join(["I,Q", *rows]).encode())
    expected = np.array([[float(cell) for cell in row.split(",")] for row in rows])
    for block in (1, 23, 1000, 10**6):
        with path.open("rb") as handle:
            parts = list(stream_columns(handle, "w.csv", ("I", "Q"), block_bytes=block))
        np.testing.assert_array_equal(np.concatenate(parts), expected)
    assert len(parts) == 2  # the last row has no line end
    rows[700] = "1.0,none"
    path.write_bytes(end.join(["I,Q", *rows]).encode())
    for block in (23, 1000, 10**6):
        with path.open("rb") as handle, pytest.raises(DataError, match=r"w\.csv, row 702, column Q: 'none'"):
            list(stream_columns(handle, "w.csv", ("I", "Q"), block_bytes=block))


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".cf32"])
def test_a_bad_sample_late_in_the_file_is_named_by_its_number(suffix: str, tmp_path: Path) -> None:
    wave = WAVE.copy()
    wave[777] = complex(0.0, np.nan)
    path = tmp_path / f"w{suffix}"
    if suffix == ".npy":
        np.save(path, wave)
    elif suffix == ".npz":
        np.savez(path, x=wave)
    else:
        wave.astype("<c8").tofile(path)
    with open_waveform(path, size=64) as waveform, pytest.raises(DataError, match="sample 777, column Q: nan"):
        list(waveform.pieces())


def test_raw_files_of_another_type_are_reported(tmp_path: Path) -> None:
    """16-bit integers read as floats are absurd numbers, and often not a whole number of samples."""
    path = tmp_path / "w.iq"
    (2000 * RNG.standard_normal(2002)).astype("<i2").tofile(path)
    with pytest.raises(DataError, match=r"w\.iq: 4,004 bytes are not a whole number of samples of 8 bytes.*16-bit"):
        read_waveform(path)
    np.full(2000, 32767, "<i2").tofile(path)  # 0x7fff7fff is not a number
    with pytest.raises(DataError, match=r"w\.iq, read as float32 I,Q \(little-endian\), sample 0, column I: nan"):
        read_waveform(path)
    np.full(2000, 0x7F00, "<i2").tofile(path)
    with pytest.raises(DataError, match=r"w\.iq, read as float32 I,Q .*cannot be held in single precision"):
        read_waveform(path)
    path.write_bytes(b"")
    with pytest.raises(DataError, match="no samples"):
        read_waveform(path)


def test_a_quiet_piece_is_no_fault_and_a_quiet_record_is(tmp_path: Path) -> None:
    wave = WAVE.copy()
    wave[:500] = 1e-35
    np.save(tmp_path / "w.npy", wave)
    with open_waveform(tmp_path / "w.npy", size=100) as waveform:
        assert sum(map(len, waveform.pieces())) == len(WAVE)
    np.save(tmp_path / "w.npy", np.full(10, 1e-35 + 0j))
    with pytest.raises(DataError, match="single precision"):
        read_waveform(tmp_path / "w.npy")


def test_a_file_that_was_cut_says_where(tmp_path: Path) -> None:
    path = tmp_path / "w.npy"
    np.save(path, WAVE)
    path.write_bytes(path.read_bytes()[:-100])
    with open_waveform(path, size=64) as waveform, pytest.raises(DataError, match="the file ends in the middle"):
        list(waveform.pieces())
