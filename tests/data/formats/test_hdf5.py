from __future__ import annotations

import struct
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io
import scipy.io.matlab

from dpdrun.data.formats import _reading, hdf5
from dpdrun.data.formats.hdf5 import read_hdf5
from dpdrun.errors import DataError
from tests.data.records import OCTAVE, RATE, X, Y, ask_here, part_of, read

LINE = (
    '{"format": "HDF5", "others": [], "variables": [{"name": "x", "key": "/x", "shape": [5], "kind": "complex128", '
    '"bytes": 80, "here": "<c16"}]}\n'
)


def test_a_file_that_octave_saved() -> None:
    found = read(str(OCTAVE / "capture.h5"))
    expected = scipy.io.loadmat(OCTAVE / "v7.mat")
    assert np.array_equal(found.records[0].x, expected["PA_Input"].ravel())
    assert np.array_equal(found.records[0].y, expected["PA_Output"].ravel())
    assert found.sample_rate_hz == RATE


def test_a_file_that_matlab_saved() -> None:
    path = Path(scipy.io.matlab.__file__).parent / "tests" / "data" / "testhdf5_7.4_GLNX86.mat"
    contents = read_hdf5(path, "a.mat")
    assert contents.format == "MATLAB v7.3"
    (variable,) = contents.variables
    np.testing.assert_allclose(variable.load().ravel(), np.linspace(0, 2 * np.pi, 9), atol=1e-12)


def test_complex_types_of_both_byte_orders() -> None:
    path = Path(h5py.__file__).parent / "tests" / "data_files" / "compound-dtype-complex.h5"
    loaded = {signal.name: signal.load() for signal in read_hdf5(path, "a.h5").signals}
    assert {"<c16", ">c16", "<c8", ">c8"} <= set(loaded)
    with h5py.File(path) as file:
        for name, samples in loaded.items():
            assert np.array_equal(samples, file[name][()])
            assert 0 < np.abs(samples).max() < 2


def as_matlab(z: np.ndarray) -> np.ndarray:
    table = np.empty((1, len(z)), [("real", "<f8"), ("imag", "<f8")])
    table["real"], table["imag"] = z.real, z.imag
    return table


@pytest.mark.parametrize("form", ["matlab", "h5py", "pairs", "quadratures", "packed"])
def test_layouts(form: str, tmp_path: Path) -> None:
    path = tmp_path / "a.mat"
    with h5py.File(path, "w", userblock_size=512 if form == "matlab" else 0) as file:
        for name, z in (("pa_in", X), ("pa_out", Y)):
            if form == "matlab":
                file.create_dataset(name, data=as_matlab(z)).attrs["MATLAB_class"] = np.bytes_(b"double")
            elif form == "quadratures":
                file[f"{name}/I"], file[f"{name}/Q"] = z.real, z.imag
            elif form == "pairs":
                file[name] = np.stack([z.real, z.imag])
            else:
                file.create_dataset(name, data=z, compression="gzip" if form == "packed" else None)
        file["Fs"] = [[RATE]]
    if form == "matlab":
        with path.open("r+b") as raw:
            raw.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64")
    found = read(str(path))
    assert np.array_equal(found.records[0].x, X)
    assert np.array_equal(found.records[0].y, Y)
    assert found.sample_rate_hz == RATE


def test_nothing_outside_of_the_file_is_read(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["x"] = X
    X.tofile(tmp_path / "secret.bin")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["y"] = Y
        file["x"] = h5py.ExternalLink("secret.h5", "x")
        file["loop"] = h5py.SoftLink("/loop")
        file.create_dataset("tx", (1600,), "<c16", external=[(str(tmp_path / "secret.bin"), 0, 25_600)])
    with pytest.raises(DataError) as caught:
        read(str(tmp_path / "a.h5"))
    text = str(caught.value)
    assert "x: a link, which is not followed" in text
    assert "loop: a link" in text
    assert "tx: its samples are in another file, which is not read" in text


@pytest.mark.parametrize("link", [h5py.ExternalLink("secret.h5", "x"), h5py.SoftLink("/away/x")])
def test_no_link_in_a_variable_of_octave_is_followed(link: object, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["x"] = X
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["y"] = Y
        file["away"] = h5py.ExternalLink("secret.h5", "/")
        file["x/type"] = np.bytes_(b"matrix")
        file["x"]["value"] = link
    with pytest.raises(DataError, match=r"x\.value: a link, which is not followed"):
        read(str(tmp_path / "a.h5"))


def test_a_name_with_a_slash_is_no_path_through_a_link(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["x"] = X
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["y"] = Y
        file["away"] = h5py.ExternalLink("secret.h5", "/")
        file["away_x"] = X
    raw = (tmp_path / "a.h5").read_bytes()
    (tmp_path / "a.h5").write_bytes(raw.replace(b"away_x", b"away/x"))
    with pytest.raises(DataError, match=r"away/x: a link, which is not followed"):
        read(str(tmp_path / "a.h5"))


def test_chunks_that_lie_over_each_other_count_once(tmp_path: Path) -> None:
    path, samples, chunks = tmp_path / "a.h5", 1 << 17, 40
    with h5py.File(path, "w") as file:
        x = file.create_dataset("x", (chunks * samples,), "<f8", chunks=(samples,), compression="gzip")
        file["y"] = Y[:10]
        x[:samples] = 0.0
        for at in range(1, chunks):
            x.id.write_direct_chunk((at * samples,), b"unused")
        places = [x.id.get_chunk_info(at) for at in range(chunks)]
    raw = path.read_bytes()
    for place in places[1:]:  # a key of the B-tree: bytes, mask, offset in samples and in bytes, address
        key, first = (
            struct.pack("<IIQQQ", each.size, 0, *place.chunk_offset, 0, each.byte_offset) for each in (place, places[0])
        )
        assert raw.count(key) == 1
        raw = raw.replace(key, first)
    path.write_bytes(raw)
    with pytest.raises(DataError, match=rf"x: declares 41,943,040 bytes of samples, but the file has {len(raw):,}"):
        read(str(path))


def test_a_small_file_that_declares_terabytes(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("x", (10**12,), "<c16", chunks=(1000,))
        file["y"] = Y
    with pytest.raises(DataError, match=r"x: declares 16,000,000,000,000 bytes of samples, but the file has 0"):
        read(str(tmp_path / "a.h5"))


def test_what_fits_the_file_may_still_not_fit_into_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"], file["y"] = X, Y
    monkeypatch.setattr("psutil.virtual_memory", lambda: type("Memory", (), {"available": 1000})())
    with pytest.raises(DataError, match="of memory are free"):
        part_of(str(tmp_path / "a.h5"))


def test_objects_of_matlab_are_named(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.mat", "w") as file:
        file["t"] = np.arange(6, dtype="u4")[None]
        file["t"].attrs["MATLAB_class"] = np.bytes_(b"timeseries")
        file["t"].attrs["MATLAB_object_decode"] = 3
        file["y"] = Y
    with pytest.raises(DataError, match=r"(?s)one signal, y .*t: a MATLAB timeseries; save x and y as plain arrays"):
        read(str(tmp_path / "a.mat"))


def test_without_the_library_the_command_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(_reading.importlib, "import_module", missing)
    monkeypatch.setattr(hdf5, "ask", ask_here)
    with pytest.raises(DataError, match=r"MATLAB v7\.3 needs h5py: pip install 'dpdrun\[formats\]'"):
        read_hdf5(OCTAVE / "capture.h5", "capture.h5")


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("import os; os.abort()", "the HDF5 library crashed on it; the file is damaged"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "the HDF5 library crashed on it"),
        ("import os; os.close(0); os._exit(0)", "the HDF5 library crashed on it"),
        ("import signal, time; signal.alarm(1); time.sleep(99)", "did not finish reading it in time"),
        (f"print({LINE!r}, end='')", "the HDF5 library crashed on it"),
        (f"import os; print({LINE!r}, end='', flush=True); os.write(1, bytes(80)); os.abort()", "crashed on it"),
        ("import no_such_package", r"the process that reads HDF5 files failed \(exit code 1\)"),
        ("print('[]')", "cannot be read as HDF5"),
        (f"print({LINE.replace('[5]', '[99999999999]')!r})", "cannot be read as HDF5: more samples than declared"),
        (f"print({LINE.replace('[5]', '[-5, -1]')!r})", "cannot be read as HDF5: more samples than declared"),
        (f"print({LINE.replace('<c16', 'O')!r})", "cannot be read as HDF5: samples that are no numbers"),
    ],
)
def test_a_process_that_dies_or_lies_is_one_message(code: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hdf5, "COMMAND", (sys.executable, "-c", code))
    with pytest.raises(DataError, match=f"a.h5: .*{message}"):
        read_hdf5(OCTAVE / "capture.h5", "a.h5")


@pytest.mark.filterwarnings("error")
def test_values_out_of_range_are_named_in_their_place_without_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hdf5, "ask", ask_here)
    infinite = np.stack([X.real, X.imag])
    infinite[1, 5] = np.inf
    long = np.empty(len(X), [("r", np.longdouble), ("i", np.longdouble)])
    long["r"], long["i"] = 2 * np.longdouble(np.finfo(float).max), 0
    for x, place in ((infinite, "sample 5, column Q: inf"), (long, "sample 0, column I: inf")):
        with h5py.File(tmp_path / "a.h5", "w") as file:
            file["x"], file["y"] = x, Y
        with pytest.raises(DataError, match=f"x, {place} is not a number"):
            part_of(str(tmp_path / "a.h5"))
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"], file["y"], file["Ts"] = X, Y, 5e-324
    with pytest.raises(DataError, match="Ts: expected one positive number"):
        part_of(str(tmp_path / "a.h5"))


def test_complex_arrays_are_no_quadratures(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"], file["y"] = X, Y
    with pytest.raises(DataError, match="x is complex, I and Q in one; name it alone"):
        read(str(tmp_path / "a.h5"), input="x,y")


def test_large_datasets_come_when_they_are_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hdf5, "WITH_LIST", 100)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"], file["y"], file["Fs"] = X, Y, RATE
    assert [each.array is None for each in hdf5.ask(tmp_path / "a.h5", "a.h5", None, 100)[2]] == [False, True, True]
    part = part_of(str(tmp_path / "a.h5"))
    assert np.array_equal(part.x, X)
    assert np.array_equal(part.y, Y)


@pytest.mark.parametrize(
    "code", ["bytearray(3 << 30)", "import os; os.write(os.open('a', os.O_CREAT | os.O_WRONLY), b'x')"]
)
def test_the_process_has_limits(code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    start = "from dpdrun.data.formats.hdf5_process import limit; limit(0)"
    monkeypatch.setattr(
        hdf5, "COMMAND", (sys.executable, "-c", f"{start}; {code}; print({LINE!r}, 80 * ' ', sep='', end='')")
    )
    with pytest.raises(DataError, match=r"a\.h5: the process that reads HDF5 files failed"):
        read_hdf5(OCTAVE / "capture.h5", "a.h5")
    monkeypatch.setattr(hdf5, "COMMAND", (sys.executable, "-c", f"{start}; print({LINE!r}, 80 * ' ', sep='', end='')"))
    assert len(read_hdf5(OCTAVE / "capture.h5", "a.h5").signals) == 1
