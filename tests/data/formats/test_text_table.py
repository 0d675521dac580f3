"""Tables of numbers as other programs write them; `octave/` has two of GNU Octave."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.io

from dpdrun.data.formats.text_table import recognise
from dpdrun.data.sources import load_capture
from dpdrun.errors import DataError
from dpdrun.recipe.schema import DataSection
from tests.data.records import OCTAVE, RATE, X, Y, part_of, read

TABLE = np.column_stack([X.real, X.imag, Y.real, Y.imag])


def rows(table: np.ndarray = TABLE, separator: str = ",", comma: bool = False) -> str:
    text = "".join(separator.join(f"{value:.12g}" for value in row) + "\n" for row in table)
    return text.replace(".", ",") if comma else text


def written(folder: Path, text: str, encoding: str = "utf-8") -> str:
    (folder / "a.txt").write_bytes(text.encode(encoding))
    return str(folder / "a.txt")


@pytest.mark.parametrize(
    ("separator", "comma"), [(",", False), (";", False), (";", True), ("\t", False), ("\t", True), ("  ", False)]
)
@pytest.mark.parametrize("header", ["I_in,Q_in,I_out,Q_out", "in_I,in_Q,out_I,out_Q", "x_re,x_im,y_re,y_im"])
def test_separators_and_header_names(separator: str, comma: bool, header: str, tmp_path: Path) -> None:
    text = header.replace(",", separator) + "\n" + rows(separator=separator, comma=comma)
    part = part_of(written(tmp_path, text))
    np.testing.assert_allclose(part.x, X, rtol=1e-11)
    np.testing.assert_allclose(part.y, Y, rtol=1e-11)


@pytest.mark.parametrize(
    "text",
    [
        "# measured on Monday\nI_in,Q_in,I_out,Q_out\n" + rows(),
        "% I_in,Q_in,I_out,Q_out\n" + rows(),
        '"I_in","Q_in","I_out","Q_out"\n' + rows(),
        "I_in,Q_in,I_out,Q_out\nV,V,V,V\n" + rows(),
        "Q_out,I_out,note,I_in,Q_in\n" + rows(np.column_stack([Y.imag, Y.real, np.arange(1600), X.real, X.imag])),
        "I_in,Q_in,I_out,Q_out\r\n" + rows().replace("\n", "\r\n"),
        "I_in;Q_in;I_out;Q_out;\n" + rows(separator=";").replace("\n", ";\n"),
    ],
    ids=["comment", "matlab comment", "quotes", "units", "order", "crlf", "separator at the end"],
)
def test_headers(text: str, tmp_path: Path) -> None:
    part = part_of(written(tmp_path, text))
    np.testing.assert_allclose(part.x, X, rtol=1e-11)
    np.testing.assert_allclose(part.y, Y, rtol=1e-11)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_encodings(encoding: str, tmp_path: Path) -> None:
    part = part_of(written(tmp_path, "I_in\tQ_in\tI_out\tQ_out\n" + rows(separator="\t"), encoding))
    np.testing.assert_allclose(part.y, Y, rtol=1e-11)


@pytest.mark.parametrize(
    ("form", "separator"),
    [
        ("{0:.12g}{1:+.12g}i", ","),
        ("({0:.12g}{1:+.12g}j)", ","),
        ("{0:.12g} {2} {3:.12g}i", ";"),
        ("{0:.12g}{1:+.12g}j", "\t"),
    ],
)
def test_complex_cells(form: str, separator: str, tmp_path: Path) -> None:
    def cell(z: complex) -> str:
        return form.format(z.real, z.imag, "-" if z.imag < 0 else "+", abs(z.imag))

    lines = [
        separator.join(("input", "output")),
        *(separator.join((cell(a), cell(b))) for a, b in zip(X, Y, strict=True)),
    ]
    part = part_of(written(tmp_path, "\n".join(lines)))
    np.testing.assert_allclose(part.x, X, rtol=1e-11)
    np.testing.assert_allclose(part.y, Y, rtol=1e-11)


def test_files_of_octave() -> None:
    expected = scipy.io.loadmat(OCTAVE / "v7.mat")
    for name, columns in (("complex.csv", "auto"), ("time.txt", "time,I_in,Q_in,I_out,Q_out")):
        found = read(str(OCTAVE / name), columns=columns)
        assert np.array_equal(found.records[0].x, expected["PA_Input"].ravel())
        assert np.array_equal(found.records[0].y, expected["PA_Output"].ravel())
        assert found.sample_rate_hz == (RATE if name == "time.txt" else None)


@pytest.mark.parametrize(("name", "scale"), [("t", 1), ("Time (s)", 1), ("time_ns", 1e9), ("Time [us]", 1e6)])
def test_a_time_column_gives_the_rate(name: str, scale: float, tmp_path: Path) -> None:
    times = np.arange(1600) / RATE * scale
    table = np.column_stack([times, TABLE])
    assert read(written(tmp_path, f"{name},I_in,Q_in,I_out,Q_out\n{rows(table)}")).sample_rate_hz == RATE
    coarse = np.column_stack([[float(f"{t:.4g}") for t in times], TABLE])
    source = written(tmp_path, f"{name},I_in,Q_in,I_out,Q_out\n{rows(coarse)}")
    section = DataSection(source=source, sample_rate_hz=RATE)
    assert load_capture(section).sample_rate_hz == RATE  # more exact than times of four digits
    with pytest.raises(DataError, match=r"but .* states"):
        load_capture(section.model_copy(update={"sample_rate_hz": 1.01 * RATE}))
    table[800:, 0] += 30 / RATE * scale
    with pytest.raises(DataError, match="the time column is not evenly spaced"):
        read(written(tmp_path, f"{name},I_in,Q_in,I_out,Q_out\n{rows(table)}"))


@pytest.mark.parametrize(
    "head",
    [
        "SamplingFrequency,15360000\nNumberSamples,1600\nDateTime,2026-01-01\nFrequency,3.5e9\n",
        "XDelta\t6.510416666666667e-08\nInputCenter\t3500000000\nY\n",
        "SampleRate=15.36e6\n",
        "# Fs = 15.36e6\n",
    ],
)
def test_lines_before_the_table_state_the_rate(head: str, tmp_path: Path) -> None:
    separator = "\t" if "\t" in head else ","
    for name, z in (("input", X), ("output", Y)):
        (tmp_path / f"{name}.csv").write_text(head + rows(z.view(float).reshape(-1, 2), separator))
    found = read(str(tmp_path / "input.csv"))
    assert found.sample_rate_hz == pytest.approx(RATE, rel=1e-9)
    np.testing.assert_allclose(found.records[0].y, Y, rtol=1e-11)


@pytest.mark.parametrize("header", ["I_in,Q_in,I_out", "I_in,,I_out,Q_out", "I_in,Q_in,I_out,Q_out,more"])
def test_a_header_of_another_width_is_shown(header: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=rf"the line '{header}' does not name its 4 columns; .*--columns"):
        read(written(tmp_path, f"{header}\n{rows()}"))


def test_the_index_that_pandas_writes_needs_no_name(tmp_path: Path) -> None:
    numbered = "".join(f"{at},{row}\n" for at, row in enumerate(rows().splitlines()))
    assert np.allclose(part_of(written(tmp_path, f",I_in,Q_in,I_out,Q_out\n{numbered}")).x, X)


def test_without_a_header_the_columns_are_asked_for(tmp_path: Path) -> None:
    source = written(tmp_path, rows())
    with pytest.raises(DataError, match=r"no header names its 4 columns; .*--columns I_in,Q_in,I_out,Q_out"):
        read(source)
    assert np.allclose(part_of(source, columns="I_out,Q_out,I_in,Q_in").x, Y)
    with pytest.raises(DataError, match=r"--columns \(data\.columns\) names 3 columns, but its rows have 4"):
        read(source, columns="I,Q,z")
    with pytest.raises(DataError, match=r"names 'I' twice"):
        read(source, columns="I,I,a,b")


def test_columns_that_no_name_pairs_can_be_named(tmp_path: Path) -> None:
    source = written(tmp_path, "a,b,c,d\n" + rows())
    with pytest.raises(DataError, match=r"real only, to be named in pairs as I,Q: a, b, c, d"):
        read(source)
    part = part_of(source, input="c,d", output="a,b")
    assert np.allclose(part.x, Y)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("I_in,Q_in,I_out,Q_out\n" + rows().replace("\n", "\nabc,1,2,3\n", 900).replace("abc,1,2,3\n", "", 899),
         r"row 902, column I_in: 'abc' is not a number"),
        ("I_in,Q_in,I_out,Q_out\n" + rows().rpartition(",")[0], "row 1601: 3 columns, but the header has 4"),
        ("hello world\n", "no table of numbers in this text"),
        ("I_in,Q_in,I_out,Q_out\n", "only a header, no rows of numbers"),
        ("\n\n", "the file is empty"),
        ("# Created by Octave 7.3.0\n# name: x\n# type: complex matrix\n", "Octave's text format; save .* -v7"),
    ],
)  # fmt: skip
def test_faults(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        read(written(tmp_path, text))


def test_the_dialect() -> None:
    table = recognise("a;b\n1,5;2,5\n3,5;4,5\n", "a")
    assert (table.dialect.separator, table.dialect.decimal_comma, table.dialect.names) == (";", True, ("a", "b"))
