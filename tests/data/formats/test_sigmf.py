"""SigMF recordings that the library of the format wrote, and hostile ones."""

from __future__ import annotations

import io
import json
import re
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sigmf

from dpdrun.errors import DataError
from tests.data.formats.test_raw import TYPES, stored
from tests.data.records import RATE, X, Y, part_of, read


def write(folder: Path, name: str, data: np.ndarray, datatype: str, **more: object) -> Path:
    data.tofile(folder / f"{name}.sigmf-data")
    info = {"core:datatype": datatype, "core:sample_rate": RATE} | more
    file = sigmf.SigMFFile(data_file=str(folder / f"{name}.sigmf-data"), global_info=info)
    file.add_capture(0, metadata={"core:frequency": 3.5e9})
    file.tofile(str(folder / f"{name}.sigmf-meta"))
    return folder / f"{name}.sigmf-meta"


@pytest.mark.parametrize("datatype", ["cf32_le", "cf32_be", "ci16_le", "ci16_be", "cf64_le", "ci32_le"])
def test_a_pair_of_recordings(datatype: str, tmp_path: Path) -> None:
    item = TYPES[datatype.removesuffix("_le")]
    write(tmp_path, "input", stored(X, item), datatype)
    write(tmp_path, "output", stored(Y, item), datatype)
    for source in (
        f"{{input: {tmp_path}/input.sigmf-meta, output: {tmp_path}/output.sigmf-data}}",
        f"{tmp_path}/input.sigmf-meta",
        f"{tmp_path}/output.sigmf-data",
        str(tmp_path),
    ):
        found = read(source)
        assert np.array_equal(found.records[0].x, X)
        assert np.array_equal(found.records[0].y, Y)
        assert found.sample_rate_hz == RATE


def test_channels_of_one_recording_as_the_library_reads_them(tmp_path: Path) -> None:
    meta = write(tmp_path, "two", np.stack([X, Y], 1).astype("<c8"), "cf32_le", **{"core:num_channels": 2})
    with pytest.raises(DataError, match=r"(?s)which signal is the input.*channel1: 1,600 cf32_le, rms"):
        read(str(meta))
    part = part_of(str(meta), input="channel1", output="channel2")
    library = sigmf.fromfile(str(meta)).read_samples()
    assert np.array_equal(np.stack([part.x, part.y], 1), library)


def test_an_archive(tmp_path: Path) -> None:
    path = tmp_path / "both.sigmf"
    with tarfile.open(path, "w") as archive:
        for name, z in (("pa_in", X), ("pa_out", Y)):
            meta = write(tmp_path, name, z.astype("<c8"), "cf32_le")
            archive.add(meta, f"{name}/{meta.name}")
            archive.add(meta.with_suffix(".sigmf-data"), f"{name}/{name}.sigmf-data")
    part = part_of(str(path))
    assert np.array_equal(part.x, X)
    assert np.array_equal(part.y, Y)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"core:dataset": "../secret"}, r"core:dataset must be the name of a file in the same folder"),
        ({"core:datatype": "rf32_le"}, "a real signal, not a complex envelope"),
        ({"core:datatype": "cf12_le"}, "core:datatype 'cf12_le' is not one of SigMF"),
        ({"core:datatype": None}, "core:datatype None is not one of SigMF"),
        ({"core:num_channels": 3}, "not a whole number of samples of 3 x cf32_le"),
        ({"core:num_channels": 10**9}, "core:num_channels must be a number from 1 to"),
        ({"core:sample_rate": -1}, "core:sample_rate must be a positive number"),
        ({"core:sha512": "0" * 128}, "do not have the core:sha512 of the metadata"),
        ({"core:trailing_bytes": 10**9}, "does not fit a file of"),
    ],
)
def test_metadata_that_do_not_fit(change: dict[str, object], message: str, tmp_path: Path) -> None:
    for name in ("input", "output"):
        meta = write(tmp_path, name, X[:1597].astype("<c8"), "cf32_le")
        content = json.loads(meta.read_text())
        content["global"] |= change
        meta.write_text(json.dumps(content))
    with pytest.raises(DataError, match=message):
        read(str(tmp_path))


def test_segments_are_refused(tmp_path: Path) -> None:
    meta = write(tmp_path, "input", X.astype("<c8"), "cf32_le")
    content = json.loads(meta.read_text())
    content["captures"].append({"core:sample_start": 800, "core:frequency": 3.6e9})
    meta.write_text(json.dumps(content))
    with pytest.raises(DataError, match="2 segments in 'captures'"):
        read(f"{{input: {meta}, output: {meta}}}")


def test_a_recording_without_its_data(tmp_path: Path) -> None:
    meta = write(tmp_path, "input", X.astype("<c8"), "cf32_le")
    meta.with_suffix(".sigmf-data").unlink()
    with pytest.raises(DataError, match=r"no file input\.sigmf-data next to it"):
        read(str(meta))


def test_an_archive_that_names_other_places_is_read_in_place(tmp_path: Path) -> None:
    path = tmp_path / "a.sigmf"
    with tarfile.open(path, "w") as archive:
        for name, data in (
            ("../x.sigmf-meta", b'{"global": {"core:datatype": "cf32_le"}}'),
            ("../x.sigmf-data", bytes(80)),
        ):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    with pytest.raises(DataError, match="holds one signal"):
        read(str(path))
    assert [file.name for file in tmp_path.iterdir()] == ["a.sigmf"]
    assert not (tmp_path.parent / "x.sigmf-data").exists()


def collection(folder: Path) -> Path:
    """Write two recordings and their list by the library of the format."""
    for name, z in (("pa_in", X), ("pa_out", Y)):
        write(folder, name, z.astype("<c8"), "cf32_le")
    listed = sigmf.SigMFCollection(["pa_in.sigmf-meta", "pa_out.sigmf-meta"], base_path=folder)
    listed.tofile(str(folder / "pair.sigmf-collection"))
    return folder / "pair.sigmf-collection"


def test_a_collection_of_two_recordings(tmp_path: Path) -> None:
    found = read(str(collection(tmp_path)))
    assert np.array_equal(found.records[0].x, X.astype("<c8"))
    assert np.array_equal(found.records[0].y, Y.astype("<c8"))
    assert found.sample_rate_hz == RATE
    assert "input pa_in, output pa_out" in found.name


@pytest.mark.parametrize(("change", "message"), [
    (lambda c: c["core:streams"].append({"name": "../pa_in"}), "a recording in the same folder, not '../pa_in'"),
    (lambda c: c["core:streams"][0].update(hash="00"), "pa_in.sigmf-meta does not have the hash of the list"),
    (lambda c: c["core:streams"][0].update(name="gone"), "no recording gone.sigmf-meta next to it"),
    (lambda c: c.update({"core:streams": {}}), "no list core:streams"),
], ids=("outside", "hash", "gone", "no list"))  # fmt: skip
def test_a_wrong_collection_is_refused(change: Callable[[Any], None], message: str, tmp_path: Path) -> None:
    path = collection(tmp_path)
    content = json.loads(path.read_text())
    change(content["collection"])
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match=re.escape(message)):
        read(str(path))
