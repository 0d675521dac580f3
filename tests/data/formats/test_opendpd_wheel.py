from __future__ import annotations

import hashlib
import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from dpdrun.data import pip_download
from dpdrun.data.formats import opendpd_wheel
from dpdrun.errors import DataError

RNG = np.random.default_rng(0)


def csv() -> bytes:
    buffer = io.BytesIO()
    np.savetxt(buffer, RNG.standard_normal((1200, 2)), delimiter=",", header="I,Q", comments="")
    return buffer.getvalue()


def members(name: str = "APA_200MHz") -> dict[str, bytes]:
    sides = [f"{part}_{side}.csv" for part in ("train", "val", "test") for side in ("input", "output")]
    files = {f"datasets/{name}/{side}": csv() for side in sides}
    return files | {f"datasets/{name}/spec.json": b'{"input_signal_fs": 983.04e6}'}


def make_wheel(folder: Path, files: dict[str, bytes], *, link: str | None = None) -> Path:
    path = folder / opendpd_wheel.WHEEL
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = (0o120777 if name == link else 0o100644) << 16
            archive.writestr(info, data)
    return path


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DPDRUN_CACHE", str(tmp_path))
    return tmp_path


def pin(monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    monkeypatch.setattr(opendpd_wheel, "SHA256", hashlib.sha256(path.read_bytes()).hexdigest())


def test_a_capture_is_read_from_the_archive(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pin(monkeypatch, make_wheel(cache, members()))
    reading = opendpd_wheel.read("APA_200MHz", "opendpd/APA_200MHz")
    assert reading.sample_rate_hz == 983.04e6
    assert reading.licence == "Apache-2.0"
    assert [len(part) for part in reading.records] == [1200] * 3
    assert [path.name for path in cache.iterdir()] == [opendpd_wheel.WHEEL]  # nothing is unpacked


def test_another_wheel_of_that_name_is_refused(cache: Path) -> None:
    make_wheel(cache, members())
    with pytest.raises(DataError, match=r"sha256 [0-9a-f]{64}, expected b7bfb801"):
        opendpd_wheel.read("APA_200MHz", "opendpd/APA_200MHz")


def test_what_pip_brings_is_verified_before_it_is_kept(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def bring(requirement: str, folder: Path, total_bytes: int, by_hand: str) -> None:
        assert requirement == "opendpd==2.4.2"
        make_wheel(folder, members())

    monkeypatch.setattr(pip_download, "_run_pip", bring)
    with pytest.raises(DataError, match="expected b7bfb801"):
        opendpd_wheel.fetch_wheel()
    assert list(cache.iterdir()) == []


def test_links_are_refused(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    link = "datasets/APA_200MHz/train_input.csv"
    pin(monkeypatch, make_wheel(cache, members() | {link: b"/etc/passwd"}, link=link))
    with pytest.raises(DataError, match=r"train_input\.csv .* is a link; refused"):
        opendpd_wheel.read("APA_200MHz", "opendpd/APA_200MHz")


def test_bombs_are_refused(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pin(monkeypatch, make_wheel(cache, members() | {"datasets/APA_200MHz/val_input.csv": bytes(65 * 2**20)}))
    with pytest.raises(DataError, match=r"val_input\.csv .* too many for a capture; refused"):
        opendpd_wheel.read("APA_200MHz", "opendpd/APA_200MHz")


@pytest.mark.parametrize("member", ["../spec.json", "/etc/passwd.csv", "demod.py", "a/b.csv", "..", "spec.json\n", ""])
def test_only_plain_csv_and_json_names_are_read(tmp_path: Path, member: str) -> None:
    path = make_wheel(tmp_path, {f"datasets/APA_200MHz/{member or 'x'}": b"1"})
    with zipfile.ZipFile(path) as archive, pytest.raises(DataError, match="not the plain name"):
        opendpd_wheel.read_member(archive, "APA_200MHz", member)


def test_a_cut_off_archive(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_wheel(cache, members())
    path.write_bytes(path.read_bytes()[:-100])
    pin(monkeypatch, path)
    with pytest.raises(DataError, match="cannot be read"):
        opendpd_wheel.read("APA_200MHz", "opendpd/APA_200MHz")


@pytest.mark.parametrize("name", ["APA_20MHz", "../APA_200MHz", ""])
def test_unknown_capture(name: str) -> None:
    with pytest.raises(DataError, match=r"no such capture.*there are: APA_200MHz, "):
        opendpd_wheel.read(name, f"opendpd/{name}")
