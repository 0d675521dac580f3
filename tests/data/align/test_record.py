from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dpdrun.data.align.record import _identity, align
from dpdrun.data.capture import Capture, Part, SourceRecord
from dpdrun.data.sources import load_capture
from dpdrun.errors import DataError
from dpdrun.recipe.schema import AlignSection, DataSection
from dpdrun.rf.metrics import nmse_db, one_tap_nmse_db
from tests.data.flawed import hard, received

N = 30_000
AUTO = DataSection(source="x.npz", align="auto")


def saved(path: Path, x: Any, y: Any) -> str:
    np.savez(path, x=x, y=y, sample_rate_hz=983.04e6, bandwidth_hz=200e6)
    return str(path)


@pytest.fixture(scope="module")
def late(tmp_path_factory: pytest.TempPathFactory) -> str:
    return saved(tmp_path_factory.mktemp("late") / "late.npz", hard()[0][:N], received(N - 1000, delay=37, offset=0.01))


def loaded(source: str, align: Any = "auto") -> Capture:
    return load_capture(DataSection.model_validate({"source": source, "align": align}))


def test_the_output_comes_to_the_instants_of_the_input(late: str) -> None:
    capture = loaded(late)
    found = capture.alignment
    assert found is not None
    assert found.values.delay_samples == pytest.approx(37, abs=0.02)
    assert found.values.frequency_offset == pytest.approx(0.01, abs=1e-7)
    assert (found.first, found.end) == (0, N - 1000 - 37)
    assert np.array_equal(capture.train.x, hard()[0][: len(capture.train)])  # the input is not touched
    assert one_tap_nmse_db(capture.test.x, capture.test.y) < -20
    assert any("the input has 30,000 samples and the output 29,000" in each for each in capture.warnings)
    assert "Aligned: delay" in capture.note


def test_only_the_training_split_is_used(late: str) -> None:
    """Another output after the training split changes no value."""
    capture = loaded(late)
    changed = received(N - 1000, delay=37, offset=0.01)
    changed[int(0.63 * N) :] *= np.exp(2j)
    path = Path(late).with_name("other.npz")
    other = loaded(saved(path, hard()[0][:N], changed))
    assert other.alignment is not None
    assert capture.alignment is not None
    assert other.alignment.values == capture.alignment.values


def test_values_in_a_recipe_give_the_same_samples(late: str) -> None:
    capture = loaded(late)
    assert capture.alignment is not None
    again = loaded(late, capture.alignment.values.model_dump())
    assert again.sha256 == capture.sha256
    assert np.array_equal(again.val.y, capture.val.y)
    assert again.alignment is not None
    assert again.alignment.decision is None
    moved = loaded(late, {"delay_samples": 36.0})
    assert moved.sha256 != capture.sha256


def test_an_alignment_without_an_image_has_the_hash_that_older_runs_recorded() -> None:
    record = Part(np.ones(2, complex), np.ones(2, complex))
    known = '{"delay_samples":36.0,"clock_ppm":0.0,"frequency_offset":0.0,"conjugate":"off","dc_i":0.0,"dc_q":0.0}'
    samples = np.ones(2, "<c16").tobytes()
    older = hashlib.sha256(known.encode() + b"|2:2|" + 2 * samples).hexdigest()
    assert _identity((record,), AlignSection(delay_samples=36.0)) == older
    assert _identity((record,), AlignSection(delay_samples=36.0, image_q=0.01)) != older


def test_an_image_of_the_receiver_is_removed_and_kept_in_the_values() -> None:
    record = Part(hard()[0][:N], received(N, offset=0.1, image=0.03j))
    reading, alignment = align(SourceRecord("seen", (record,)), AUTO)
    assert (alignment.values.image_i, alignment.values.image_q) == pytest.approx((0, 0.03), abs=1e-3)
    assert "image" in reading.note
    truth = hard()[1][alignment.first : alignment.end]
    assert one_tap_nmse_db(truth, reading.records[0].y) < -55


def test_a_sound_capture_is_the_same_capture() -> None:
    section = {"source": "synthetic/mild"}
    plain = load_capture(DataSection.model_validate(section))
    aligned = load_capture(DataSection.model_validate(section | {"align": "auto"}))
    assert aligned.sha256 == plain.sha256
    assert aligned.alignment is not None
    assert aligned.alignment.values == AlignSection()


def test_unequal_lengths_need_alignment(late: str) -> None:
    with pytest.raises(DataError, match=r"30,000 samples and .* 29,000.*data.align: auto"):
        loaded(late, "off")


def test_strangers_are_refused(tmp_path: Path) -> None:
    x, y = (side[:N] for side in hard())
    path = saved(tmp_path / "a.npz", x, np.random.default_rng(0).permutation(y))
    with pytest.raises(DataError, match=r"do not belong together: .* correlation of 0\.\d\d at best"):
        loaded(path)


def test_splits_of_one_record_stay_where_they_are() -> None:
    x, y = hard()[0][:N], received(N, delay=5)
    edges = ((0, 18_000), (18_000, 24_000), (24_000, N))
    parts = tuple(Part(x[a:b], y[a:b]) for a, b in edges)
    reading, alignment = align(SourceRecord("three", parts), AUTO)  # type: ignore[arg-type]
    assert [len(part) for part in reading.records] == [18_000, 6_000, 5_995]
    assert np.array_equal(reading.records[1].x, x[18_000:24_000])  # type: ignore[misc]
    assert nmse_db(hard()[1][18_000:24_000], reading.records[1].y) < -100  # type: ignore[misc]
    assert alignment.values.delay_samples == 5


def test_loops_are_rotated_and_strangers_in_time_are_cut() -> None:
    x, _ = hard()
    loop = 2000
    starts = range(0, 30 * loop, loop)
    taps = np.fft.fft([1.0, 0.1j, -0.05], loop)  # an amplifier in a loop: a circular filter, and a cube
    frames = [x[at : at + loop] for at in starts]
    frames = [np.fft.ifft(np.fft.fft(each) * (np.abs(np.fft.fftfreq(loop)) < 0.1)) for each in frames]
    made = [np.fft.ifft(np.fft.fft(each - 0.1 * each * np.abs(each) ** 2) * taps) for each in frames]
    rows = [np.concatenate(side).reshape(30, loop) for side in (frames, [np.roll(each, 7) for each in made])]
    split = ((0, 20), (20, 25), (25, 30))
    parts = tuple(Part(rows[0][a:b].ravel(), rows[1][a:b].ravel()) for a, b in split)
    reading, done = align(SourceRecord("loops", parts, nperseg=loop), AUTO)  # type: ignore[arg-type]
    assert [len(part) for part in reading.records] == [20 * loop, 5 * loop, 5 * loop]
    fraction = done.values.delay_samples - 7  # of the amplifier's own filter
    assert abs(fraction) < 0.1
    turn = np.exp(2j * np.pi * np.fft.fftfreq(loop) * fraction)
    expected = np.concatenate([np.fft.ifft(np.fft.fft(each) * turn) for each in made[20:25]])
    assert nmse_db(expected, reading.records[1].y) < -100  # type: ignore[misc]
    unseen, _ = align(SourceRecord("rows", parts), AUTO)  # type: ignore[arg-type]
    assert np.array_equal(unseen.records[1].y, reading.records[1].y)  # type: ignore[misc]
    off = AUTO.model_copy(update={"cyclic": "off"})
    cut, _ = align(SourceRecord("rows", parts), off)  # type: ignore[arg-type]
    assert len({length * loop - len(part) for length, part in zip((20, 5, 5), cut.records, strict=True)}) == 1
    assert 7 <= 5 * loop - len(cut.records[1]) < 250
    turning = tuple(Part(part.x, part.y * np.exp(2e-2j * np.arange(len(part)))) for part in parts)
    with pytest.raises(DataError, match="the three splits are not one record"):
        align(SourceRecord("loops", turning, nperseg=loop), AUTO)  # type: ignore[arg-type]
