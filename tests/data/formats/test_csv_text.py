from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpdrun.data.formats.csv_text import parse_pair, read_columns
from dpdrun.errors import DataError

GOOD = "I,Q\n" + "".join(f"{i}.5,-{i}e-3\n" for i in range(1, 6))


def read(text: str | bytes) -> np.ndarray:
    return read_columns(text.encode() if isinstance(text, str) else text, "a.csv", ("I", "Q"))


def test_values_in_the_requested_order() -> None:
    expected = [[1.5, -1e-3], [2.5, -2e-3], [3.5, -3e-3], [4.5, -4e-3], [5.5, -5e-3]]
    assert read(GOOD).tolist() == expected
    assert read_columns(GOOD.encode(), "a.csv", ("Q", "I"))[:, ::-1].tolist() == expected


@pytest.mark.parametrize(
    "text",
    [
        GOOD.replace("\n", "\r\n"),
        GOOD.replace("\n", "\r"),
        "\ufeff" + GOOD,
        GOOD.rstrip("\n"),
        GOOD + "\n\n",
        GOOD.replace("I,Q", ' "I" , "Q" '),
        GOOD.replace(",", " , "),
        "t,I,Q\n" + "".join(f"{i},{i}.5,-{i}e-3\n" for i in range(1, 6)),
        "when,I,Q\n" + "".join(f"12:0{i},{i}.5,-{i}e-3\n" for i in range(1, 6)),  # text in a column nobody asked for
    ],
    ids=["crlf", "cr", "bom", "no newline at end", "blank lines", "quotes", "spaces", "extra", "extra text"],
)
def test_same_values_however_they_are_written(text: str) -> None:
    assert np.array_equal(read(text), read(GOOD))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("3.5,", "abc,", r"a\.csv, row 4, column I: 'abc' is not a number"),
        ("-3e-3", "", r"row 4, column Q: the cell is empty"),
        ("-3e-3", "nan", r"row 4, column Q: nan is not a number"),
        ("-3e-3", "-inf", r"row 4, column Q: -inf"),
        ("5.5,-5e-3", "1e999,1", r"row 6, column I: inf"),
        ("4.5,-4e-3", "4.5", r"row 5: 1 columns, but the header has 2: '4.5'"),
        ("4.5,-4e-3", "4.5,1,2", r"row 5: 3 columns, but the header has 2"),
        ("4.5,-4e-3", "4,5,-4e-3", r"row 5: 3 columns"),
        ("4.5,", "1_0,", r"row 5, column I: '1_0' is not a number"),
        ("4.5,", "(1+2j),", r"row 5, column I"),
        ("I,Q", "i,q", r"row 1: no column 'I' in the header 'i,q'; did you mean 'I' where it says 'i'"),
        ("I,Q", "real,imag", r"row 1: no column 'I' in the header 'real,imag'; expected I,Q"),
        ("I,Q", "I,I", r"row 1: column 'I' appears twice"),
        ("I,Q\n", "", r"row 1: numbers instead of a header; make the first row I,Q"),
        (",", ";", r"row 1: columns are separated by semicolons; use commas"),
        (",", "\t", r"row 1: columns are separated by tabs"),
    ],
)
def test_fault_is_named_with_row_and_column(old: str, new: str, message: str) -> None:
    assert old in GOOD
    with pytest.raises(DataError, match=message):
        read(GOOD.replace(old, new))


def test_rows_count_as_an_editor_shows_them_past_blank_lines_and_crlf() -> None:
    text = "I,Q\r\n1,2\r\n\r\n\r\n3,oops\r\n"
    with pytest.raises(DataError, match="row 5, column Q: 'oops'"):
        read(text)


def test_all_faulty_rows_are_counted() -> None:
    with pytest.raises(DataError, match=r"row 3, column I.*\(2 such rows\)"):
        read("I,Q\n1,2\nnan,1\n3,4\n1,inf\n")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "the file is empty"),
        (b" \n\n", "the file is empty"),
        (b"I,Q\n", "only a header"),
        (b"I,Q\n\n\n", "only a header"),
        (GOOD.encode("utf-16"), "UTF-16"),
        (b"PK\x03\x04\x00\x00", "binary file"),
        (b"I,Q\n1,2\n3,\xb5\n", r"row 3: byte 0xb5 is not UTF-8"),
    ],
)
def test_what_is_no_csv(data: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(data)


def test_duplicate_column() -> None:
    with pytest.raises(DataError, match="'I' appears twice"):
        read("I,Q,I\n1,2,3\n")


finite = st.floats(allow_nan=False, allow_infinity=False, width=64)


@given(st.lists(st.tuples(finite, finite), min_size=1, max_size=20))
def test_every_float_is_read_back_exactly(rows: list[tuple[float, float]]) -> None:
    text = "I,Q\n" + "".join(f"{a!r},{b!r}\n" for a, b in rows)
    assert np.array_equal(read(text), np.array(rows))


@given(st.binary(max_size=200))
def test_any_bytes_give_numbers_or_a_data_error(data: bytes) -> None:
    try:
        values = read(data)
    except DataError as error:
        assert str(error).startswith("a.csv")  # noqa: PT017
    else:
        assert values.ndim == 2
        assert np.isfinite(values).all()


@given(st.text(alphabet="0123456789.,-+eEnaif \n\r\t;IQ_", max_size=60))
def test_any_csv_like_text_gives_numbers_or_a_data_error(body: str) -> None:
    try:
        values = read("I,Q\n" + body)
    except DataError as error:
        assert str(error).startswith("a.csv")  # noqa: PT017
    else:
        assert values.shape[1] == 2
        assert np.isfinite(values).all()


def csv(table: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savetxt(buffer, table, delimiter=",", header="I_in,Q_in,I_out,Q_out", comments="", fmt="%.17g")
    return buffer.getvalue()


def table(rows: int = 1500) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((rows, 4))


def test_columns_become_complex_input_and_output() -> None:
    values = table()
    part = parse_pair(csv(values), "a.csv")
    assert np.array_equal(part.x, values[:, 0] + 1j * values[:, 1])
    assert np.array_equal(part.y, values[:, 2] + 1j * values[:, 3])


@pytest.mark.parametrize(
    ("columns", "factor", "message"),
    [
        ([1], 0.0, r"column Q_in is all zero"),
        ([2], 0.0, r"column I_out is all zero"),
        ([0, 1], 0.0, r"all samples are zero \(columns I_in, Q_in\)"),
        ([2, 3], 1e200, r"cannot be held in single precision"),
        ([2, 3], 1e-200, r"cannot be held in single precision"),
    ],
)
def test_sides_that_are_no_signal(columns: list[int], factor: float, message: str) -> None:
    values = table()
    values[:, columns] *= factor
    with pytest.raises(DataError, match=r"^a\.csv: .*" + message):
        parse_pair(csv(values), "a.csv")


def test_too_short() -> None:
    with pytest.raises(DataError, match="999 samples are too few"):
        parse_pair(csv(table(999)), "a.csv")
