from __future__ import annotations

import io

import numpy as np
import pytest

from dpdrun.data.formats.csv_pair import parse_pair
from dpdrun.errors import DataError


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
