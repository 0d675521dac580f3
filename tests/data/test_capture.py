from __future__ import annotations

from dataclasses import FrozenInstanceError, fields

import numpy as np
import pytest

from dpdrun.data.capture import Capture, Part, SourceRecord
from dpdrun.errors import DataError


def part(samples: int, *, seed: int = 0, gain: complex = 2.0) -> Part:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(samples) + 1j * rng.standard_normal(samples)
    return Part(x, gain * x)


def capture(**changes: object) -> Capture:
    values: dict[str, object] = {
        "name": "test",
        "sample_rate_hz": 1e6,
        "bandwidth_hz": None,
        "subchannels": None,
        "licence": "yours",
        "note": "",
        "train": part(300, seed=1),
        "val": part(100, seed=2),
        "test": part(100, seed=3),
    }
    return Capture(**(values | changes))  # type: ignore[arg-type]


def test_scales_come_from_the_training_part_alone() -> None:
    loud = part(100, seed=4)
    with_loud_test = capture(test=Part(100 * loud.x, 100 * loud.y))
    expected = np.sqrt(np.mean(np.abs(with_loud_test.train.x) ** 2))
    assert with_loud_test.scale_x == pytest.approx(expected, rel=1e-12)
    assert with_loud_test.scale_y == pytest.approx(2 * expected, rel=1e-12)


def test_parts_in_the_order_of_time() -> None:
    one = capture()
    assert list(one.parts) == ["train", "val", "test"]
    assert one.parts["val"] is one.val


def test_hash_depends_on_samples_cuts_and_rate() -> None:
    one = capture()
    assert capture().sha256 == one.sha256
    moved = capture(train=Part(one.train.x[:-1], one.train.y[:-1]))
    nudged_y = one.test.y.copy()
    nudged_y[50] = np.nextafter(nudged_y[50].real, 9) + 1j * nudged_y[50].imag
    others = [capture(sample_rate_hz=2e6), moved, capture(test=Part(one.test.x, nudged_y)), capture(val=one.test)]
    hashes = {one.sha256, *(other.sha256 for other in others)}
    assert len(hashes) == 5


def test_hash_does_not_depend_on_metadata() -> None:
    assert capture(name="other", note="other").sha256 == capture().sha256


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (np.zeros(3, complex), np.zeros(4, complex), "3 samples and output 4"),
        (np.zeros((3, 2), complex), np.zeros(3, complex), "x must be"),
        (np.zeros(3, complex), np.zeros(3), "y must be"),
    ],
)
def test_part_refuses_what_is_no_pair(x: np.ndarray, y: np.ndarray, message: str) -> None:
    with pytest.raises(DataError, match=message):
        Part(x, y)


def test_what_a_source_does_not_say_is_none() -> None:
    part = Part(np.ones(3, complex), np.ones(3, complex))
    reading = SourceRecord(name="a", records=(part,))
    other = {"name", "records", "licence", "note", "warnings", "rate_tolerance"}
    facts = {field.name for field in fields(SourceRecord)} - other
    assert {"sample_rate_hz", "bandwidth_hz", "nperseg", "cuts", "ratios"} <= facts
    assert all(getattr(reading, fact) is None for fact in facts)
    with pytest.raises(FrozenInstanceError):
        reading.sample_rate_hz = 1.0  # type: ignore[misc]
