"""NI TDMS files that npTDMS wrote, and those of its own tests."""

from __future__ import annotations

from pathlib import Path

import nptdms
import numpy as np
import pytest
from nptdms import ChannelObject, RootObject, TdmsWriter

from dpdrun.data.formats.tdms import read_tdms
from dpdrun.errors import DataError
from tests.data.records import RATE, X, Y, read

BY_LABVIEW = Path(nptdms.__file__).parent / "test" / "data"


@pytest.mark.parametrize("form", ["complex", "quadratures"])
def test_channels_by_name(form: str, tmp_path: Path) -> None:
    timing = {"wf_increment": 1 / RATE}
    if form == "complex":
        channels = [ChannelObject("PA", "input", X, timing), ChannelObject("PA", "output", Y, timing)]
    else:
        channels = [ChannelObject("PA", name, data, timing) for name, data in (
            ("I_in", X.real), ("Q_in", X.imag), ("I_out", Y.real), ("Q_out", Y.imag)
        )]  # fmt: skip
    with TdmsWriter(tmp_path / "a.tdms") as writer:
        writer.write_segment([RootObject({"operator": "n"}), *channels])
    found = read(str(tmp_path / "a.tdms"))
    assert np.array_equal(found.records[0].x, X)
    assert np.array_equal(found.records[0].y, Y)
    assert found.sample_rate_hz == pytest.approx(RATE, rel=1e-12)


def test_files_of_labview_are_listed() -> None:
    found = {file.name: read_tdms(file, file.name) for file in sorted(BY_LABVIEW.glob("*.tdms"))}
    assert {"big_endian.tdms", "raw1.tdms"} <= set(found)
    for name in ("big_endian.tdms", "raw1.tdms"):
        for variable in found[name].variables:
            assert len(variable.load()) == variable.shape[0]


def test_a_cut_file(tmp_path: Path) -> None:
    with TdmsWriter(tmp_path / "a.tdms") as writer:
        writer.write_segment([ChannelObject("PA", "input", X), ChannelObject("PA", "output", Y)])
    data = (tmp_path / "a.tdms").read_bytes()
    (tmp_path / "a.tdms").write_bytes(data[: len(data) // 2])
    with pytest.raises(DataError, match=r"a\.tdms: cannot be read as NI TDMS"):
        read(str(tmp_path / "a.tdms"))
