"""What `dpdrun apply` reads and writes."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.io import loadmat

from dpdrun.data.formats.waveform import check_writable
from dpdrun.data.formats.waveform_reader import open_waveform, read_waveform
from dpdrun.data.formats.waveform_writer import writing
from dpdrun.errors import DataError, UnwritableError
from tests.data.records import OCTAVE

WAVE = np.array([0.5 - 0.25j, 0.0, -1.5 + 2j])


def write_csv(path: Path, *rows: str, header: str = "I,Q") -> Path:
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def write_npz(path: Path, **named: np.ndarray) -> Path:
    np.savez(path, **named)  # type: ignore[arg-type]
    return path


@pytest.mark.parametrize("count", [1, 2, 3])
def test_any_length_is_read_from_every_format(count: int, tmp_path: Path) -> None:
    wave = WAVE[:count]
    csv = write_csv(tmp_path / "w.csv", *(f"{z.real},{z.imag}" for z in wave))
    np.save(tmp_path / "w.npy", wave)
    np.save(tmp_path / "pairs.npy", np.stack([wave.real, wave.imag], axis=1).astype(np.float32))
    paths = [csv, tmp_path / "w.npy", tmp_path / "pairs.npy", write_npz(tmp_path / "w.npz", x=wave, y=-wave),
             write_npz(tmp_path / "v.NPZ", input=wave)]  # fmt: skip
    for path in (p if p.exists() else p.with_name(p.name + ".npz") for p in paths):
        read = read_waveform(path)
        assert read.dtype == np.complex128
        np.testing.assert_array_equal(read, wave)


def test_other_columns_and_silence_are_no_hindrance(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "w.csv", "7,0,0", "8,0,0", header="t,Q,I")
    np.testing.assert_array_equal(read_waveform(path), [0, 0])


def test_a_sample_that_is_not_finite_is_named(tmp_path: Path) -> None:
    csv = write_csv(tmp_path / "w.csv", "1,2", "3,nan", "5,6")
    with pytest.raises(DataError, match=r"w\.csv, row 3, column Q: nan"):
        read_waveform(csv)
    np.save(tmp_path / "w.npy", np.array([1, 2, complex(np.inf, 0)]))
    with pytest.raises(DataError, match=r"w\.npy, sample 2, column I: inf"):
        read_waveform(tmp_path / "w.npy")


@pytest.mark.parametrize(
    ("array", "why"),
    [
        (np.zeros((3, 3)), r"expected complex \(N,\) or real \(N, 2\) = I, Q, not float64 \(3, 3\)"),
        (np.zeros(4), "not float64"),
        (np.zeros((4, 2), complex), "not complex128"),
        (np.array(["a", "b"]), "not numbers"),
        (np.zeros(0, complex), "no samples"),
        (np.zeros((0, 2)), "no samples"),
        (np.array(1 + 1j), "expected complex"),
    ],
)
def test_arrays_of_another_shape_or_type_are_refused(array: np.ndarray, why: str, tmp_path: Path) -> None:
    np.save(tmp_path / "w.npy", array)
    with pytest.raises(DataError, match=why):
        read_waveform(tmp_path / "w.npy")


def test_an_archive_without_the_array_says_what_it_has(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"needs an array named x \(or input\), has a, b"):
        read_waveform(write_npz(tmp_path / "w.npz", a=WAVE, b=WAVE))


def test_a_file_is_read_as_what_it_is(tmp_path: Path) -> None:
    """An archive named .npy and an array named .npz."""
    write_npz(tmp_path / "a.npz", x=WAVE).rename(tmp_path / "a.npy")
    with (tmp_path / "b.npz").open("wb") as handle:
        np.save(handle, WAVE)
    for name in ("a.npy", "b.npz"):
        np.testing.assert_array_equal(read_waveform(tmp_path / name), WAVE)


def damaged(path: Path) -> None:
    """An archive whose stored bytes do not match their checksum."""
    write_npz(path, x=np.arange(64) + 0j)
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        content[archive.getinfo("x.npy").header_offset + 200] ^= 0xFF
    path.write_bytes(content)


@pytest.mark.parametrize("name", ["damaged.npz", "cut.npz", "cut.npy", "empty.npy", "object.npy"])
def test_damage_is_an_error_and_nothing_is_unpickled(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    if name == "damaged.npz":
        damaged(path)
    elif name.startswith("cut"):
        (write_npz(path, x=WAVE) if name.endswith("z") else np.save(path, WAVE))
        path.write_bytes(path.read_bytes()[:-20])
    elif name == "object.npy":
        np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    else:
        path.write_bytes(b"")
    with pytest.raises(DataError, match=f"{name}: (cannot be read as a waveform: .|the file is empty)"):
        read_waveform(path)


def test_paths_that_are_no_waveform(tmp_path: Path) -> None:
    write_csv(tmp_path / "wave.csv", "1,2")
    with pytest.raises(DataError, match=r"wav\.csv: no such file.*did you mean 'wave\.csv'"):
        read_waveform(tmp_path / "wav.csv")
    with pytest.raises(DataError, match="this is a folder"):
        read_waveform(tmp_path)
    (tmp_path / "w.wav").write_bytes(b"RIFF")
    with pytest.raises(DataError, match=r"w\.wav: no table of numbers in this text"):
        read_waveform(tmp_path / "w.wav")
    (tmp_path / "w.bin").write_bytes(b"\0\1\2\3" * 20)
    with pytest.raises(DataError, match=r"w\.bin: a file without a known header.*name the file by its type: \.cf32"):
        read_waveform(tmp_path / "w.bin")


@pytest.mark.parametrize("name", ["v4.mat", "v7.mat", "struct.mat", "quadratures.mat", "capture.h5", "complex.csv"])
def test_the_input_of_a_capture_is_a_waveform(name: str) -> None:
    assert np.array_equal(read_waveform(OCTAVE / name), loadmat(OCTAVE / "v7.mat")["PA_Input"].ravel())


def test_a_signal_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"which signal is the input\? Give --input-signal NAME"):
        read_waveform(OCTAVE / "unnamed.mat")
    write_csv(tmp_path / "w.csv", "1,2,3,4", header="a,b,c,d")
    for path, signal in (
        (OCTAVE / "unnamed.mat", "second"),
        (tmp_path / "w.csv", "c,d"),
        (OCTAVE / "iq.wav", "samples"),
    ):
        with open_waveform(path, signal=signal, size=100) as waveform:
            pieces = list(waveform.pieces())
            assert waveform.done == 1
        assert pieces[0][0] == (3 + 4j if path.suffix == ".csv" else pieces[0][0])
    assert waveform.sample_rate_hz == 192000
    write_npz(tmp_path / "w.npz", a=WAVE, b=2 * WAVE)
    with open_waveform(tmp_path / "w.npz", signal="b") as waveform:
        np.testing.assert_array_equal(next(waveform.pieces()), 2 * WAVE)
    with pytest.raises(DataError, match=r"no array 'c'.*it has a, b"), open_waveform(tmp_path / "w.npz", signal="c"):
        pass


def test_integers_are_scaled_to_full_scale(tmp_path: Path) -> None:
    np.array([16384, -32768, 1, 0], "<i2").tofile(tmp_path / "w.sc16")
    np.testing.assert_array_equal(read_waveform(tmp_path / "w.sc16"), [0.5 - 1j, 1 / 32768])


@given(
    arrays.arrays(
        np.complex64,
        st.integers(1, 50),
        elements=st.just(0j) | st.complex_numbers(min_magnitude=2.0**-20, max_magnitude=2.0**20, width=64),
    ),
    st.sampled_from([".csv", ".npz", ".npy", ".cf32"]),
)
def test_what_is_written_can_be_read(tmp_path_factory: pytest.TempPathFactory, wave: np.ndarray, suffix: str) -> None:
    path = tmp_path_factory.mktemp("w") / f"out{suffix}"
    x, y = wave.astype(np.complex128), 2 * wave.astype(np.complex128)
    with writing(path) as writer:
        writer.append(x, y)
    back = read_waveform(path)
    np.testing.assert_allclose(back, y if suffix in (".npy", ".cf32") else x, rtol=1e-8)  # nine digits hold a float32
    if suffix == ".csv":
        table = np.loadtxt(path, delimiter=",", skiprows=1, ndmin=2)
        np.testing.assert_allclose(table[:, 2] + 1j * table[:, 3], y, rtol=1e-8)
        assert path.read_text().startswith("I,Q,I_out,Q_out\n")


def test_outputs_are_refused_before_work_begins(tmp_path: Path) -> None:
    taken = write_csv(tmp_path / "taken.csv", "1,2")
    check_writable(tmp_path / "new.csv", force=False)
    check_writable(taken, force=True)
    (tmp_path / "folder.csv").mkdir()
    for path, force, why in (
        (taken, False, "exists; give --force"),
        (tmp_path / "out.xls", True, r"cannot write \.xls; use \.csv, \.npy, \.npz.*\.mat, \.wv, \.sigmf-meta"),
        (tmp_path / "out", True, "cannot write a file without a suffix"),
        (tmp_path / "none" / "out.csv", True, "no such file or folder"),
        (taken / "out.csv", True, "taken.csv is a file, not a folder"),
        (tmp_path / "folder.csv", True, "this is a folder"),
    ):
        with pytest.raises(DataError, match=why):
            check_writable(path, force=force)
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(UnwritableError, match=r"pipe\.csv: cannot write: not a regular file; name a file"):
        check_writable(tmp_path / "pipe.csv", force=False)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(DataError, match="no permission"):
        check_writable(tmp_path / "out.csv", force=False)
