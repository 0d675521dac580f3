"""R&S .wv files that RsWaveform wrote (its reader rounds to float16, so only its writer is a reference)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from RsWaveform import RsWaveform

from dpdrun.data.formats.rs_waveform import checksum, read_wv
from dpdrun.errors import DataError
from tests.data.records import RATE, X, Y, read


def write(path: Path, z: np.ndarray) -> Path:
    waveform = RsWaveform()
    waveform.data[0] = z
    waveform.meta[0].clock = RATE
    waveform.save(str(path))
    return path


def test_a_file_of_the_vendors_library(tmp_path: Path) -> None:
    scaled = X / np.abs(X.view(float)).max()
    (signal,) = read_wv(write(tmp_path / "a.wv", scaled), "a.wv").signals
    found = signal.load()
    assert signal.samples == len(X)
    assert np.abs(found - scaled).max() < 2 / 32767  # int16


def test_two_files_and_their_rate(tmp_path: Path) -> None:
    write(tmp_path / "tx.wv", X)
    write(tmp_path / "rx.wv", Y)
    found = read(f"{{input: {tmp_path}/tx.wv, output: {tmp_path}/rx.wv}}")
    assert found.sample_rate_hz == RATE
    assert found.warnings == ()


def by_hand(z: np.ndarray, tags: str = "", kind: str = "SMU-WV") -> bytes:
    data = np.round(z.view(float) * 32767).astype("<i2").tobytes()
    head = f"{{TYPE: {kind},{checksum(data)}}}{{CLOCK: 1.536e7}}{tags}{{WAVEFORM-{len(data) + 1}: #"
    return head.encode() + data + b"}"


def test_braces_in_the_samples_and_exact_values(tmp_path: Path) -> None:
    z = np.array([32123 + 32125j, 31611 + 123j] * 800) / 32767  # 0x7d7b, 0x7d7d: braces
    (tmp_path / "a.wv").write_bytes(by_hand(z, "{SAMPLES: 1600}{COMMENT: a: b}"))
    contents = read_wv(tmp_path / "a.wv", "a.wv")
    assert np.array_equal(contents.signals[0].load(), np.round(z * 32767) / 32767)
    assert contents.warnings == ()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data[:-400], r"1,600 samples are stated, but the file ends after 1,5\d\d: it is incomplete"),
        (lambda data: data.replace(b"SMU-WV", b"SMU-MWV"), "several segments"),
        (lambda data: b"{WWAVEFORM-10:#" + data, "encrypted"),
        (lambda data: data.replace(b"CLOCK: 1.536e7", b"CLOCK: fast"), "the tag CLOCK must be a positive number"),
        (lambda data: data.replace(b"{WAVEFORM", b"{WAVEFARM"), "no tag WAVEFORM"),
        (
            lambda data: data.replace(b"{CLOCK", b"{SAMPLES: 7}{CLOCK"),
            "the tag SAMPLES says 7, but the data have 1,600",
        ),
    ],
)
def test_faults(change: object, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.wv").write_bytes(change(by_hand(X)))  # type: ignore[operator]
    with pytest.raises(DataError, match=message):
        read(f"{{input: {tmp_path}/a.wv, output: {tmp_path}/a.wv}}")


def test_a_wrong_checksum_is_told(tmp_path: Path) -> None:
    data = bytearray(by_hand(X))
    data[-100] ^= 4
    (tmp_path / "a.wv").write_bytes(data)
    assert "checksum does not match" in read_wv(tmp_path / "a.wv", "a.wv").warnings[0]
