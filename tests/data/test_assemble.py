from __future__ import annotations

import numpy as np
import pytest

from dpdrun.data.assemble import assemble
from dpdrun.data.capture import Part, SourceRecord
from dpdrun.data.ofdm import OfdmSettings, ofdm_waveform
from dpdrun.data.splits import GUARD_SAMPLES
from dpdrun.errors import DataError
from dpdrun.recipe.fields import Percent
from dpdrun.recipe.schema import DataSection, SplitSection

N = 40_000


def record(samples: int = N) -> Part:
    x = np.arange(1, samples + 1) * (1 + 1j)  # each sample names its position
    return Part(x.astype(complex), 2 * x.astype(complex))


def reading(**changes: object) -> SourceRecord:
    values: dict[str, object] = {"name": "mine.csv", "records": (record(),), "sample_rate_hz": 1e6}
    return SourceRecord(**(values | changes))  # type: ignore[arg-type]


def section(**fields: object) -> DataSection:
    return DataSection(source="mine.csv", **fields)  # type: ignore[arg-type]


def span(part: Part) -> tuple[int, int]:
    positions = part.x.real.astype(int) - 1
    assert np.array_equal(positions, np.arange(positions[0], positions[-1] + 1))  # contiguous
    return int(positions[0]), int(positions[-1]) + 1


def test_auto_is_60_20_20_with_guards_on_both_sides() -> None:
    capture = assemble(reading(), section())
    g = GUARD_SAMPLES
    assert [span(p) for p in capture.parts.values()] == [(0, 24_000 - g), (24_000 + g, 32_000 - g), (32_000 + g, N)]
    assert "256 guard samples" in capture.note


def test_short_record_keeps_most_of_itself() -> None:
    capture = assemble(reading(records=(record(2000),)), section())
    assert sum(len(p) for p in capture.parts.values()) == 2000 - 4 * 20


def test_guard_0_is_the_cut_of_opendpd() -> None:
    odd = 9_999
    split = SplitSection(train=Percent("60%"), val=Percent("20%"), test=Percent("20%"), guard=0)
    capture = assemble(reading(records=(record(odd),)), section(split=split))
    n_train, n_val = int(odd * 0.6), int(odd * 0.2)  # opendpd/modules/data_collector.py, _split_dataframe
    expected = [(0, n_train), (n_train, n_train + n_val), (n_train + n_val, odd)]
    assert [span(p) for p in capture.parts.values()] == expected


def test_source_cuts_win_over_ratios() -> None:
    capture = assemble(reading(cuts=(20_000, 30_000), ratios=(0.6, 0.2, 0.2)), section())
    assert span(capture.train)[1] == 20_000 - GUARD_SAMPLES
    assert span(capture.test)[0] == 30_000 + GUARD_SAMPLES


def test_recipe_split_wins_over_source_cuts() -> None:
    split = SplitSection(train=Percent("50%"), val=Percent("25%"), test=Percent("25%"), guard=10)
    capture = assemble(reading(cuts=(20, 30)), section(split=split))
    assert [span(p) for p in capture.parts.values()] == [(0, 19_990), (20_010, 29_990), (30_010, N)]


def test_given_parts_are_kept_exactly() -> None:
    parts = (record(3000), record(1000), record(1000))
    capture = assemble(reading(records=parts), section())
    for part, given in zip(capture.parts.values(), parts, strict=True):
        assert part.x is given.x
        assert part.y is given.y
    assert "as given" in capture.note


def test_a_cut_part_knows_what_the_record_holds_around_it() -> None:
    """The guards too: they are dropped from training, not from the state of a model that is scored."""
    whole = record(20_000)
    capture = assemble(reading(records=(whole,)), section())
    for part in capture.parts.values():
        around = [side for side in (part.past, part, part.future) if side is not None]
        assert np.array_equal(np.concatenate([each.x for each in around]), whole.x)
        assert np.array_equal(np.concatenate([each.y for each in around]), whole.y)
    assert (capture.train.past, capture.test.future) == (None, None)
    assert capture.val.past is not None
    assert len(capture.val.past) == len(capture.train) + 2 * int(20_000 * 0.01)


def test_given_parts_have_a_past_only_where_the_signal_runs_on() -> None:
    settings = OfdmSettings(fft=4096, prefix=288, symbols=3, carrier_bins=167, active=152)
    x = ofdm_waveform(settings, np.random.default_rng(0))
    train, val, test = (Part(x[c], 2 * x[c]) for c in (slice(0, 8000), slice(8000, 10_500), slice(10_500, None)))
    capture = assemble(reading(records=(train, val, test)), section())
    assert capture.val.past is not None
    assert np.array_equal(capture.val.past.x, train.x)
    assert capture.test.past is not None
    torn = assemble(reading(records=(train, test, val)), section())
    assert [part.past for part in torn.parts.values()] == [None, None, None]
    assert torn.val.future is None


def test_given_parts_are_joined_only_if_the_signal_runs_on() -> None:
    settings = OfdmSettings(fft=4096, prefix=288, symbols=3, carrier_bins=167, active=152)
    x = ofdm_waveform(settings, np.random.default_rng(0))
    cuts = [slice(0, 8000), slice(8000, 10_500), slice(10_500, None)]
    whole = [Part(x[c], x[c]) for c in cuts]
    split = SplitSection(train=Percent("50%"), val=Percent("25%"), test=Percent("25%"))
    capture = assemble(reading(records=tuple(whole)), section(split=split))
    assert np.array_equal(capture.train.x, x[: len(x) // 2 - int(len(x) * 0.01)])

    torn = (whole[0], whole[2], whole[1])
    with pytest.raises(DataError, match=r"not from one continuous record \(train to val: a jump"):
        assemble(reading(records=torn), section(split=split))


def test_a_channel_spacing_has_to_fit_the_carriers() -> None:
    stated = reading(bandwidth_hz=9.8e4)
    assert assemble(stated, section()).channel_spacing_hz is None
    assert assemble(stated, section(channel_spacing_hz=1e5)).channel_spacing_hz == 1e5
    with pytest.raises(
        DataError, match=r"spacing of 0\.09 MHz does not fit one carrier in 0\.098 MHz, .*data\.carriers"
    ):
        assemble(stated, section(channel_spacing_hz=9e4))
    with pytest.raises(DataError, match=r"write data\.bandwidth_hz too"):
        assemble(reading(), section(channel_spacing_hz=1e5))


@pytest.mark.parametrize("field", ["sample_rate_hz", "bandwidth_hz"])
def test_contradiction_names_both(field: str) -> None:
    stated = reading(bandwidth_hz=2e5)
    with pytest.raises(DataError) as caught:
        assemble(stated, section(**{field: 3e5}))
    flag = field.replace("_", "-")
    assert f"data.{field} (--{flag}) is 300,000 Hz" in str(caught.value)
    assert f"{getattr(stated, field):,.0f} Hz" in str(caught.value)
    assert "mine.csv" in str(caught.value)


def test_the_number_of_carriers_is_stated_by_the_source_or_the_recipe() -> None:
    assert assemble(reading(subchannels=3), section()).subchannels == 3
    assert assemble(reading(bandwidth_hz=2e5), section(carriers=4)).subchannels == 4
    with pytest.raises(DataError, match=r"data\.carriers 4 contradicts the source, which states 3"):
        assemble(reading(subchannels=3, bandwidth_hz=2e5), section(carriers=4))
    with pytest.raises(DataError, match=r"write data\.bandwidth_hz too"):
        assemble(reading(), section(carriers=4))


def test_recipe_fills_in_what_the_source_leaves_open_and_may_repeat_it() -> None:
    capture = assemble(reading(sample_rate_hz=None), section(sample_rate_hz=5e6, bandwidth_hz=1e6))
    assert (capture.sample_rate_hz, capture.bandwidth_hz) == (5e6, 1e6)
    assert assemble(reading(), section(sample_rate_hz=1e6)).sample_rate_hz == 1e6


def test_unknown_rate_says_what_to_set() -> None:
    with pytest.raises(DataError, match=r"data\.sample_rate_hz.*--sample-rate-hz"):
        assemble(reading(sample_rate_hz=None), section())


def test_bandwidth_must_fit_the_sample_rate() -> None:
    with pytest.raises(DataError, match="does not fit"):
        assemble(reading(), section(bandwidth_hz=1e6))


@pytest.mark.parametrize("shares", [("60%", "20%", "10%"), ("70%", "20%", "20%")])
def test_shares_must_add_up(shares: tuple[str, str, str]) -> None:
    train, val, test = (Percent(share) for share in shares)
    with pytest.raises(DataError, match="add up to"):
        assemble(reading(), section(split=SplitSection(train=train, val=val, test=test)))


@pytest.mark.parametrize("guard", [3_900, 10**6])
def test_guards_that_eat_a_part(guard: int) -> None:
    split = SplitSection(guard=guard)
    with pytest.raises(DataError, match=r"the (train|val) split has .* too short"):
        assemble(reading(), section(split=split))


@pytest.mark.parametrize("cuts", [(0, 10), (20, 10), (10, N), (N + 1, N + 2)])
def test_cuts_outside_the_record(cuts: tuple[int, int]) -> None:
    with pytest.raises(DataError, match="do not fit a record"):
        assemble(reading(cuts=cuts), section())


def test_silent_part() -> None:
    quiet = record()
    quiet.y[30_000:] = 0
    with pytest.raises(DataError, match="output of the test split is all zero"):
        assemble(reading(records=(quiet,)), section())
