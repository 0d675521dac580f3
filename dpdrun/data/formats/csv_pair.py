"""A bare CSV file with the columns I_in, Q_in, I_out, Q_out: one record, sample rate not stated."""

from __future__ import annotations

import numpy as np

from dpdrun.data.capture import Part
from dpdrun.data.checks import check_samples
from dpdrun.data.formats.csv_text import read_columns

COLUMNS = ("I_in", "Q_in", "I_out", "Q_out")


def parse_pair(data: bytes, where: str) -> Part:
    """Parse input and output of one record.

    Args:
        data: the whole CSV file.
        where: its name, for messages.

    Raises:
        DataError: names file, row and column.
    """
    table = read_columns(data, where, COLUMNS)
    x = table[:, 0] + 1j * table[:, 1]
    y = table[:, 2] + 1j * table[:, 3]
    check_samples(x, where, ("I_in", "Q_in"))
    check_samples(y, where, ("I_out", "Q_out"))
    return Part(np.asarray(x, np.complex128), np.asarray(y, np.complex128))
