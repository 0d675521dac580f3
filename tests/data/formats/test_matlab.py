"""MATLAB files that MATLAB (scipy's test data) and GNU Octave wrote, and faults in them."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import scipy.io.matlab

from dpdrun.data.formats.detect import open_contents
from dpdrun.data.formats.matlab import read_matlab
from dpdrun.errors import DataError
from tests.data.records import OCTAVE, RATE, X, Y, part_of, read

BY_MATLAB = Path(scipy.io.matlab.__file__).parent / "tests" / "data"


@pytest.mark.parametrize("name", ["v4.mat", "v6.mat", "v7.mat", "struct.mat", "quadratures.mat"])
def test_a_capture_that_octave_saved(name: str) -> None:
    found = read(str(OCTAVE / name))
    expected = scipy.io.loadmat(OCTAVE / "v7.mat")
    (part,) = found.records
    assert np.array_equal(part.x, expected["PA_Input"].ravel())
    assert np.array_equal(part.y, expected["PA_Output"].ravel())
    assert found.sample_rate_hz == (None if name == "quadratures.mat" else RATE)
    if name == "v7.mat":
        assert found.name.endswith("v7.mat (input PA_Input, output PA_Output)")  # a choice that is shown


def test_a_choice_that_no_name_makes_is_a_question() -> None:
    source = str(OCTAVE / "unnamed.mat")
    with pytest.raises(DataError) as caught:
        read(source)
    text = str(caught.value)
    assert "--input-signal NAME (data.input) and --output-signal NAME (data.output)" in text
    assert "  first: 1,600 x 1 complex64, rms 1.185\n  second: 1,600 x 1 complex64, rms 2.242" in text
    part = part_of(source, input="first", output="second")
    assert np.array_equal(part.y, scipy.io.loadmat(source)["second"].ravel())
    said = r"--input-signal frist \(data\.input\): no such signal; did you mean 'first'\?; there are:\n"
    with pytest.raises(DataError, match=said):
        read(source, input="frist", output="second")


@pytest.mark.parametrize("version", ["4.2c_SOL2", "6.1_SOL2", "7.4_GLNX86"])
def test_complex_vectors_of_matlab(version: str) -> None:
    (signal,) = read_matlab(BY_MATLAB / f"testcomplex_{version}.mat", "a.mat").signals
    angle = np.linspace(0, 2 * np.pi, 9)
    assert signal.name == "testcomplex"
    np.testing.assert_allclose(signal.load(), np.cos(angle) + 1j * np.sin(angle), atol=1e-12)


def test_every_file_of_scipys_tests_is_read_or_refused() -> None:
    files = sorted(BY_MATLAB.glob("*.mat"))
    assert len(files) > 100
    read_ones = 0
    for file in files:
        try:
            open_contents(file, file.name)
        except DataError as error:
            assert str(error).startswith(file.name)  # noqa: PT017
        else:
            read_ones += 1
    assert read_ones > 95


def test_what_is_no_array_is_named(tmp_path: Path) -> None:
    contents = read_matlab(BY_MATLAB / "testobject_7.4_GLNX86.mat", "o.mat")
    assert contents.signals == ()
    assert any("object" in other and "save x and y as plain arrays" in other for other in contents.others)


@pytest.mark.parametrize("packed", [False, True])
def test_shapes_and_types(packed: bool, tmp_path: Path) -> None:
    path = tmp_path / "a.mat"
    for x, y in (
        (X[None], Y[:, None]),
        (np.stack([X.real, X.imag], 1), np.stack([Y.real, Y.imag])),
        (X.astype(np.complex64), Y),
    ):
        scipy.io.savemat(path, {"x": x, "y": y, "Ts": 1 / RATE, "fc": 3.5e9}, do_compression=packed)
        found = read(str(path))
        assert np.array_equal(found.records[0].x, X)
        assert np.array_equal(found.records[0].y, Y)
        assert found.sample_rate_hz == pytest.approx(RATE, rel=1e-12)


def test_three_pairs_are_the_three_splits(tmp_path: Path) -> None:
    content = {f"{side}{part}": z[at:] for side, z in (("txWave", X), ("paOutput", Y))
               for at, part in enumerate(("Train", "Val", "Test"))}  # fmt: skip
    scipy.io.savemat(tmp_path / "a.mat", content)
    records = read(str(tmp_path / "a.mat")).records
    assert [len(part) for part in records] == [1600, 1599, 1598]


def test_a_recording_of_a_signal_analyser(tmp_path: Path) -> None:
    settings = {"XDelta": 1 / RATE, "InputCenter": 3.5e9, "InputZoom": np.uint8(1), "XDomain": 2.0, "YUnit": "V"}
    for name, z in (("in", X), ("out", Y)):
        scipy.io.savemat(tmp_path / f"{name}.mat", settings | {"Y": z[:, None]})
    pair = f"{{input: {tmp_path}/in.mat, output: {tmp_path}/out.mat}}"
    found = read(pair)
    assert np.array_equal(found.records[0].x, X)
    assert np.array_equal(found.records[0].y, Y)
    assert found.sample_rate_hz == pytest.approx(RATE, rel=1e-12)
    scipy.io.savemat(tmp_path / "in.mat", settings | {"Y": X.real, "InputZoom": 0.0})
    with pytest.raises(DataError, match="InputZoom is 0: a VSA recording of real samples"):
        read(pair)


@pytest.mark.parametrize(
    ("scalars", "message"),
    [
        ({"fs": 0.0}, r"fs: expected one positive number, not \[0\.\]"),
        ({"fs": [1e6, 2e6]}, "fs: expected one positive number"),
        ({"fs": 1e6, "sampleRate": 2e6}, "fs and sampleRate state 1e[+]06 Hz and 2e[+]06 Hz; .* --sample-rate-hz"),
    ],
)
def test_scalars_that_state_no_rate(scalars: dict[str, object], message: str, tmp_path: Path) -> None:
    scipy.io.savemat(tmp_path / "a.mat", {"x": X, "y": Y} | scalars)
    with pytest.raises(DataError, match=message):
        read(str(tmp_path / "a.mat"))


def test_a_size_beyond_the_file_is_refused_before_memory_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "a.mat"
    scipy.io.savemat(path, {"x": X, "y": Y})
    data = bytearray(path.read_bytes())
    at = data.index(struct.pack("<II", 5, 8)) + 8  # dimensions of the first variable
    data[at : at + 8] = struct.pack("<ii", 1, 2**31 - 1)
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"variable x: declares .* but the file has .*: it is incomplete"):
        read(str(path))
    path.write_bytes(path.read_bytes()[:20_000])
    with pytest.raises(DataError, match="incomplete"):
        read(str(path))
