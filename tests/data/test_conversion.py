from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dpdrun.data.conversion import convert_capture
from dpdrun.errors import DataError
from dpdrun.recipe.loader import source_of
from dpdrun.recipe.schema import DataSection
from tests.data.records import OCTAVE, RATE, part_of, read


def convert(source: str, out: Path, only: str | None = None, **fields: object) -> list[str]:
    section = DataSection.model_validate({"source": source_of(source)} | fields)
    return list(convert_capture(section, out, only=only))


@pytest.mark.parametrize("suffix", [".npz", ".mat", ".csv"])
def test_both_signals_and_their_rate_survive(suffix: str, tmp_path: Path) -> None:
    lines = convert(str(OCTAVE / "v7.mat"), tmp_path / f"a{suffix}", bandwidth_hz=5e6)
    before, after = read(str(OCTAVE / "v7.mat")), read(str(tmp_path / f"a{suffix}"))
    assert np.array_equal(after.records[0].x, before.records[0].x)
    assert np.array_equal(after.records[0].y, before.records[0].y)
    assert "1,600 samples, 1.536e+07 S/s" in lines[0]
    if suffix == ".csv":
        assert (
            lines[-1]
            == ".csv cannot state the sample rate: give --sample-rate-hz 15360000 (data.sample_rate_hz) with it"
        )
    else:
        assert (after.sample_rate_hz, after.bandwidth_hz) == (RATE, 5e6)


@pytest.mark.parametrize("suffix", [".cf32", ".npy", ".sigmf-meta", ".wv", ".ci16"])
def test_one_signal_a_file(suffix: str, tmp_path: Path) -> None:
    source = str(OCTAVE / "v7.mat")
    for side in ("input", "output"):
        convert(source, tmp_path / f"{side}{suffix}", side)
    part, before = part_of(str(tmp_path)), part_of(source)
    tolerance = 0 if suffix not in (".wv", ".ci16") else 1e-4
    for found, expected in ((part.x, before.x), (part.y, before.y)):
        scale = np.abs(expected.view(float)).max() if tolerance else 1.0
        np.testing.assert_allclose(found, expected / scale, atol=tolerance, rtol=0)


def test_three_splits_follow_one_another(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    before = part_of(str(OCTAVE / "v7.mat"))
    for at, name in enumerate(("train", "val", "test")):
        for side, samples in (("input", before.x), ("output", before.y)):
            np.savetxt(folder / f"{name}_{side}.csv", samples[at:].view(float).reshape(-1, 2), "%.17g", ",",
                       header="I,Q", comments="")  # fmt: skip
    lines = convert(str(folder), tmp_path / "a.npz")
    assert "train to sample 1,600, val to sample 3,199, test to sample 4,797" in lines[1]
    assert len(part_of(str(tmp_path / "a.npz"))) == 4797


@pytest.mark.parametrize(
    ("name", "only", "message"),
    [
        ("a.wv", None, "holds one signal; give --only input or --only output"),
        ("a.npz", "input", "holds both signals; omit --only"),
        ("a.h5", None, r"cannot write \.h5"),
    ],
)
def test_what_a_format_cannot_hold(name: str, only: str | None, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        convert(str(OCTAVE / "v7.mat"), tmp_path / name, only)
    assert not list(tmp_path.iterdir())
