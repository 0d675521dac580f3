from __future__ import annotations

import io
import json
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpdrun.data.assemble import assemble
from dpdrun.data.formats.opendpd_folder import SPLIT_FILES, read_folder
from dpdrun.errors import DataError
from dpdrun.recipe.schema import DataSection

RNG = np.random.default_rng(0)
SPEC = {
    "description": "a test",
    "dataset_format": "split_csv",
    "input_signal_fs": 983.04e6,
    "bw_main_ch": 200e6,
    "bw_sub_ch": 40e6,
    "n_sub_ch": 5,
    "nperseg": 19662,
}


def csv(table: np.ndarray, header: str) -> bytes:
    buffer = io.BytesIO()
    np.savetxt(buffer, table, delimiter=",", header=header, comments="", fmt="%.17g")
    return buffer.getvalue()


TABLES = {name: RNG.standard_normal((1200 if "train" in name else 1000, 2)) for name in SPLIT_FILES}
FILES = {name: csv(table, "I,Q") for name, table in TABLES.items()}


def folder(spec: Any = SPEC, **changes: bytes | None) -> dict[str, bytes]:
    raw = spec if isinstance(spec, bytes) else json.dumps(spec).encode()
    renamed = {name.replace("__", "."): data for name, data in changes.items()}
    files = {"spec.json": raw, **FILES, **renamed}
    return {name: data for name, data in files.items() if data is not None}


def test_split_csv_keeps_the_given_parts() -> None:
    reading = read_folder(folder().get, "d")
    assert len(reading.records) == 3
    for part, name in zip(reading.records, ("train", "val", "test"), strict=True):
        assert np.array_equal(part.x, TABLES[f"{name}_input.csv"] @ [1, 1j])
        assert np.array_equal(part.y, TABLES[f"{name}_output.csv"] @ [1, 1j])
    assert (reading.sample_rate_hz, reading.bandwidth_hz, reading.subchannels) == (983.04e6, 200e6, 5)
    assert reading.nperseg == 19662
    assert reading.note == "a test"
    assert reading.warnings == ()


def test_no_spec_means_split_csv_without_a_rate() -> None:
    files = folder()
    del files["spec.json"]
    reading = read_folder(files.get, "d")
    assert len(reading.records) == 3
    assert reading.sample_rate_hz is None


def test_single_csv_with_indices() -> None:
    table = RNG.standard_normal((5000, 4))
    spec = {
        "dataset_format": "single_csv",
        "csv_filename": "rec.csv",
        "split_ratios": {"train": 0.5, "val": 0.25, "test": 0.25},
        "split_indices": {"train_end": 3000, "val_end": 4000},
    }
    files = {"spec.json": json.dumps(spec).encode(), "rec.csv": csv(table, "I_in,Q_in,I_out,Q_out")}
    reading = read_folder(files.get, "d")
    assert len(reading.records) == 1
    assert np.array_equal(reading.records[0].y, table[:, 2:] @ [1, 1j])
    assert reading.cuts == (3000, 4000)
    assert reading.ratios == (0.5, 0.25, 0.25)


def test_unknown_keys_warn() -> None:
    reading = read_folder(folder({**SPEC, "gain": 9.0, "n_sub_chan": 3}).get, "d")
    assert len(reading.warnings) == 2
    assert "key 'gain' is unknown and ignored" in reading.warnings[0]
    assert "did you mean 'n_sub_ch'?" in reading.warnings[1]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (b"{", r"d/spec\.json:1:2: not JSON"),
        (b"\xff", "not UTF-8"),
        (b"[" * 100_000, "not JSON|nested too deeply"),
        ([1], "expected an object"),
        ({"dataset_format": "single"}, "dataset_format is 'single', not one of split_csv, single_csv; did you mean"),
        ({"input_signal_fs": "800e6"}, "input_signal_fs must be a positive number, not '800e6'"),
        ({"input_signal_fs": -1}, "input_signal_fs must be a positive number"),
        ({"input_signal_fs": True}, "input_signal_fs must be a positive number"),
        (b'{"input_signal_fs": NaN}', "input_signal_fs must be a positive number"),
        ({"n_sub_ch": 2.5}, "n_sub_ch must be a whole number"),
        ({"dataset_format": "single_csv", "csv_filename": "../secret.csv"}, "csv_filename must be the name of a file"),
        ({"dataset_format": "single_csv", "csv_filename": "/etc/passwd"}, "csv_filename must be the name of a file"),
        ({"dataset_format": "single_csv"}, r"no data\.csv in this folder"),
    ],
)
def test_bad_spec(spec: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_folder(folder(spec).get, "d")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("split_ratios", {"train": 1.0}, "exactly the keys train, val, test"),
        ("split_ratios", {"train": "a", "val": 0.2, "test": 0.2}, "train must be a positive number"),
        ("split_indices", [1, 2], "exactly the keys train_end, val_end"),
        ("split_indices", {"train_end": 1.5, "val_end": 3}, "train_end must be a whole number"),
    ],
)
def test_bad_split(key: str, value: Any, message: str) -> None:
    spec = {"dataset_format": "single_csv", key: value}
    with pytest.raises(DataError, match=message):
        read_folder(folder(spec, data__csv=csv(RNG.standard_normal((2000, 4)), "I_in,Q_in,I_out,Q_out")).get, "d")


def test_missing_file_lists_what_is_there() -> None:
    with pytest.raises(DataError, match=r"d: no val_output\.csv .* it has train_input\.csv"):
        read_folder(folder(val_output__csv=None).get, "d")


def test_unequal_lengths_name_both_files() -> None:
    short = csv(TABLES["val_output.csv"][:-1], "I,Q") + b"1,2\n3,4\n"
    reading = read_folder(folder(val_output__csv=short).get, "d")
    with pytest.raises(DataError, match=r"d/val_input\.csv has 1,000 samples and d/val_output\.csv has 1,001"):
        assemble(reading, DataSection(source="d"))


def test_bad_number_names_file_row_and_column() -> None:
    lines = FILES["test_input.csv"].split(b"\n")
    lines[10] = b"0.1,0.2x"
    with pytest.raises(DataError, match=r"d/test_input\.csv, row 11, column Q: '0\.2x'"):
        read_folder(folder(test_input__csv=b"\n".join(lines)).get, "d")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from(["dataset_format", "csv_filename", "split_ratios", *SPEC]), json_values))
def test_any_spec_gives_a_reading_or_a_data_error(spec: dict[str, Any]) -> None:
    try:
        reading = read_folder(folder(spec).get, "d")
    except DataError as error:
        assert str(error).startswith("d")  # noqa: PT017
    else:
        assert reading.sample_rate_hz is None or reading.sample_rate_hz > 0


OFDM = {"ofdm_nfft": 32768, "scs": 30e3, "n_active": 600, "cp_first": 2560, "cp_other": 2304}


def test_the_symbols_of_a_spec() -> None:
    """The spec of APA_200MHz: it states the inner 600 of the 1,200 subcarriers that an LTE carrier has."""
    grid = read_folder(folder(SPEC | OFDM | {"standard": "LTE"}).get, "d").grid
    assert grid is not None
    assert (grid.fft, grid.prefix, len(grid.bins), grid.half_band_hz) == (32768, 2304, 1200, 20e6)
    assert grid.carriers_hz == (-80e6, -40e6, 0.0, 40e6, 80e6)
    assert (grid.bins[0], grid.bins[599], grid.bins[600], grid.bins[-1]) == (-600, -1, 1, 600)


def test_another_standard_is_taken_at_its_word() -> None:
    grid = read_folder(folder(SPEC | OFDM | {"standard": "NR"}).get, "d").grid
    assert grid is not None
    assert len(grid.bins) == 600


@pytest.mark.parametrize("key", ["ofdm_nfft", "n_active", "cp_other", "bw_main_ch", "n_sub_ch", "input_signal_fs"])
def test_a_spec_that_lacks_something_has_no_grid(key: str) -> None:
    spec = {name: value for name, value in (SPEC | OFDM).items() if name != key}
    reading = read_folder(folder(spec).get, "d")
    assert (reading.grid, reading.warnings) == (None, ())


def test_without_a_prefix_symbols_cannot_be_found() -> None:
    assert read_folder(folder(SPEC | OFDM | {"cp_other": 0}).get, "d").grid is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"scs": 15e3}, "scs is 15000 Hz, but a symbol of ofdm_nfft: 32768 samples at 9.8304e[+]08 Hz means 30000 Hz"),
        ({"n_active": 40000}, "5 carriers of 40000 subcarriers do not fit an FFT of 32768 samples"),
        ({"ofdm_nfft": 10**14, "scs": 983.04e6 / 10**14}, "16,777,216 at most"),
        ({"cp_other": 40000}, "prefix no longer than it"),
    ],
)
def test_an_impossible_numerology_is_reported_and_left_out(change: dict[str, Any], said: str) -> None:
    reading = read_folder(folder(SPEC | OFDM | change).get, "d")
    assert reading.grid is None
    assert len(reading.warnings) == 1
    assert re.search(said, reading.warnings[0])
    assert reading.warnings[0].endswith("there will be no EVM")
