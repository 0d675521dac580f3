from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dpdrun.data.checks import MIN_SAMPLES, check_finite, check_samples, missing, suggestion
from dpdrun.errors import DataError

GOOD = np.exp(1j * np.arange(MIN_SAMPLES))


def test_a_signal_passes() -> None:
    check_samples(GOOD, "a", ("I", "Q"))
    check_finite(np.ones((3, 2)), "a", ("I", "Q"), row_word="row", first=2)


def test_the_shortest_record() -> None:
    with pytest.raises(DataError, match="999 samples are too few"):
        check_samples(GOOD[:-1], "a", ("I", "Q"))
    with pytest.raises(DataError, match="no samples"):
        check_samples(GOOD[:0], "a", ("I", "Q"))


@pytest.mark.parametrize(("scale", "fits"), [(1e60, False), (2e30, False), (1e29, True), (1e-29, True), (1e-60, False)])
def test_what_single_precision_cannot_hold_is_refused_with_the_factor(scale: float, fits: bool) -> None:
    if fits:
        check_samples(scale * GOOD, "a", ("I", "Q"))
        return
    with pytest.raises(DataError, match=r"^a: samples of up to .* single precision") as caught:
        check_samples(scale * GOOD, "a", ("I", "Q"))
    assert f"divide the record by {scale:.0e}," in str(caught.value)


def test_first_bad_row_counts_from_first() -> None:
    values = np.ones((5, 2))
    values[3, 1] = np.inf
    with pytest.raises(DataError, match="a, row 5, column Q: inf"):
        check_finite(values, "a", ("I", "Q"), row_word="row", first=2)


def test_suggestion() -> None:
    assert suggestion("spce.json", ["spec.json", "data.csv"]) == "; did you mean 'spec.json'?"
    assert suggestion("zzz", ["spec.json"]) == ""


def test_missing_lists_at_most_a_dozen_names(tmp_path: Path) -> None:
    for index in range(30):
        (tmp_path / f"{index:02d}").touch()
    message = str(missing(tmp_path / "quite-another-name"))
    assert "00, 01" in message
    assert "(30 in all)" in message
    assert "25" not in message.partition(" has: ")[2]


def test_missing_never_lists_the_root() -> None:
    assert str(missing(Path("/nonexist/deep/out.csv"))) == "/nonexist/deep/out.csv: no such file or folder"
