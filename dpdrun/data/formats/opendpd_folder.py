"""The folder format of OpenDPD: `{train,val,test}_{input,output}.csv` (columns I,Q) or one CSV, and a spec.json.

Read as OpenDPD 2.4.2 reads it (opendpd/modules/data_collector.py, schemas/legacy_spec.py), except that a single record
is cut with guard samples (`data.split.guard: 0` gives OpenDPD's cut) and that an unknown key is a
warning, not an error.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dpdrun.data.capture import PART_NAMES, Part, SourceRecord
from dpdrun.data.checks import make_part, suggestion
from dpdrun.data.formats.csv_text import parse_pair, read_samples
from dpdrun.errors import DataError
from dpdrun.rf.ofdm_grid import OfdmGrid, around_centre
from dpdrun.run.files import parse_json

SPEC = "spec.json"
SPLIT_FILES = tuple(f"{part}_{side}.csv" for part in PART_NAMES for side in ("input", "output"))
FORMATS = ("split_csv", "single_csv")
KNOWN_KEYS = frozenset(
    {
        *("description", "dataset_format", "csv_filename", "split_ratios", "split_indices"),
        *("input_signal_fs", "input_signal_bw", "bw_main_ch", "bw_sub_ch", "n_sub_ch", "nperseg"),
        *("standard", "modulation", "test_model", "papr_db", "scs", "ofdm_nfft", "n_active", "cp_first", "cp_other"),
        *("origin", "tutorial", "generator", "generator_seed"),
    }
)

LTE_OCCUPIED = 0.9  # of a channel
MAX_FFT = 2**24  # samples of a symbol; more is a mistake

ReadMember = Callable[[str], bytes | None]  # content of a file of the folder, None where there is none


def is_folder(path: Path) -> bool:
    """Whether a folder is in OpenDPD's format."""
    return any((path / name).exists() or (path / name).is_symlink() for name in (SPEC, *SPLIT_FILES))


def read_folder(read: ReadMember, name: str, *, licence: str = "yours") -> SourceRecord:
    """Read the capture of one OpenDPD folder.

    Args:
        read: gives the content of a file of the folder, or None. (So that a folder inside a wheel reads the same.)
        name: of the source, for messages.
        licence: of the data.

    Raises:
        DataError: names file, row and column.
    """
    spec, warnings = _spec(read(SPEC), f"{name}/{SPEC}")
    where = f"{name}/{SPEC}"
    records: tuple[Part] | tuple[Part, Part, Part]
    cuts = ratios = None
    if _choice(spec, "dataset_format", FORMATS, "split_csv", where) == "single_csv":
        file = _file_name(spec, where)
        records = (parse_pair(_needed(read, file, name), f"{name}/{file}"),)
        cuts, ratios = _cuts(spec, where), _ratios(spec, where)
    else:
        train, val, test = (_part(read, part, name) for part in PART_NAMES)
        records = (train, val, test)
    description = spec.get("description")
    grid, odd = _grid(spec, where)
    return SourceRecord(
        name=name,
        records=records,
        sample_rate_hz=_positive(spec, "input_signal_fs", where),
        bandwidth_hz=_bandwidth(spec, where),
        subchannels=_positive_int(spec, "n_sub_ch", where),
        nperseg=_positive_int(spec, "nperseg", where),
        cuts=cuts,
        ratios=ratios,
        licence=licence,
        note=description.strip() if isinstance(description, str) else "",
        warnings=warnings + odd,
        grid=grid,
    )


def _part(read: ReadMember, part: str, name: str) -> Part:
    sides = []
    for side in ("input", "output"):
        file = f"{part}_{side}.csv"
        sides += read_samples(_needed(read, file, name), f"{name}/{file}", ("I", "Q"))
    return make_part(sides[0], sides[1], f"{name}/{part}_input.csv", f"{name}/{part}_output.csv")


def _needed(read: ReadMember, file: str, name: str) -> bytes:
    data = read(file)
    if data is None:
        have = [f for f in SPLIT_FILES if f != file and read(f) is not None]
        raise DataError(
            f"{name}: no {file} in this folder"
            + (f"; it has {', '.join(have)}, and all six of {', '.join(SPLIT_FILES)} are needed" if have else "")
            + ("" if have else '; for one CSV with all four columns, spec.json needs "dataset_format": "single_csv"')
        )
    return data


def _spec(data: bytes | None, where: str) -> tuple[dict[str, Any], tuple[str, ...]]:
    if data is None:
        return {}, ()
    try:
        spec = parse_json(data.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise DataError(f"{where}: not UTF-8 text") from None
    except json.JSONDecodeError as error:
        raise DataError(f"{where}:{error.lineno}:{error.colno}: not JSON: {error.msg}") from None
    except RecursionError:
        raise DataError(f"{where}: nested too deeply to be a spec") from None
    if not isinstance(spec, dict):
        raise DataError(f"{where}: expected an object {{...}}, not {type(spec).__name__}")
    unknown = sorted(key for key in spec if key not in KNOWN_KEYS)
    return spec, tuple(f"{where}: key {key!r} is unknown and ignored{suggestion(key, KNOWN_KEYS)}" for key in unknown)


def _choice(spec: dict[str, Any], key: str, allowed: tuple[str, ...], default: str, where: str) -> str:
    value = spec.get(key, default)
    if value not in allowed:
        raise DataError(
            f"{where}: {key} is {value!r}, not one of {', '.join(allowed)}{suggestion(str(value), allowed)}"
        )
    return str(value)


def _file_name(spec: dict[str, Any], where: str) -> str:
    file = spec.get("csv_filename", "data.csv")
    if not isinstance(file, str) or not file or file in (".", "..") or any(c in file for c in "/\\:\0"):
        raise DataError(f"{where}: csv_filename must be the name of a file in the same folder, not {file!r}")
    return file


def _bandwidth(spec: dict[str, Any], where: str) -> float | None:
    """Return the occupied bandwidth: `bw_main_ch`, or `input_signal_bw`, as a folder of OpenDPD's repository has it."""
    main, signal = _positive(spec, "bw_main_ch", where), _positive(spec, "input_signal_bw", where)
    if main is not None and signal is not None and not math.isclose(main, signal, rel_tol=1e-6):
        raise DataError(f"{where}: bw_main_ch is {main:g} Hz, but input_signal_bw is {signal:g} Hz; delete one")
    return signal if main is None else main


def _positive(spec: dict[str, Any], key: str, where: str) -> float | None:
    value = spec.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e15:
        raise DataError(f"{where}: {key} must be a positive number, not {value!r}")
    return float(value)


def _positive_int(spec: dict[str, Any], key: str, where: str) -> int | None:
    value = _positive(spec, key, where)
    if value is not None and not value.is_integer():
        raise DataError(f"{where}: {key} must be a whole number, not {value!r}")
    return None if value is None else int(value)


def _grid(spec: dict[str, Any], where: str) -> tuple[OfdmGrid | None, tuple[str, ...]]:
    """Return the OFDM numerology that a spec states, or why it states none.

    Carriers lie side by side, centred on 0 Hz, and each has a symbol clock of its own (so has every one of
    APA_200MHz's), which a filter as wide as the channel tells apart: as datasets/demodulator.py of opendpd 2.4.2 does.
    """
    rate, band = _positive(spec, "input_signal_fs", where), _positive(spec, "bw_main_ch", where)
    carriers, fft = _positive_int(spec, "n_sub_ch", where), _positive_int(spec, "ofdm_nfft", where)
    prefix = _positive_int(spec, "cp_other", where) if spec.get("cp_other") != 0 else None  # 0: nothing to find it by
    spacing = _positive(spec, "scs", where)
    active = _positive_int(spec, "n_active", where)
    if rate is None or band is None or carriers is None or fft is None or prefix is None or active is None:
        return None, ()
    if spacing is not None and not math.isclose(rate / fft, spacing, rel_tol=1e-6):
        fault = f"{spacing:g} Hz, but a symbol of ofdm_nfft: {fft} samples at {rate:g} Hz means {rate / fft:g} Hz"
        return None, (f"{where}: scs is {fault}; there will be no EVM",)
    width = band / carriers
    if spec.get("standard") == "LTE":
        # OpenDPD's APA specs state the inner 600 of 1,200, which its constellation plots show. An LTE carrier of 3 MHz
        # and more occupies 90 % of its channel (3GPP TS 36.104, table 5.6-1), and its Arena scores all of these.
        active = max(active, round(LTE_OCCUPIED * width * fft / rate))
    if fft > MAX_FFT or active >= fft or carriers >= fft:
        fault = f"{carriers} carriers of {active} subcarriers do not fit an FFT of {fft} samples"
        return None, (f"{where}: {fault} ({MAX_FFT:,} at most); there will be no EVM",)
    centres = tuple((c - (carriers - 1) / 2) * width for c in range(carriers))
    try:
        return OfdmGrid(fft, prefix, centres, around_centre(active), half_band_hz=width / 2), ()
    except ValueError as error:
        return None, (f"{where}: {error}; there will be no EVM",)


def _ratios(spec: dict[str, Any], where: str) -> tuple[float, float, float] | None:
    value = spec.get("split_ratios")
    if value is None:
        return None
    if not isinstance(value, dict) or set(value) != set(PART_NAMES):
        raise DataError(f"{where}: split_ratios must have exactly the keys train, val, test, not {value!r}")
    train, val, test = (_positive(value, part, f"{where}: split_ratios") for part in PART_NAMES)
    if train is None or val is None or test is None:
        raise DataError(f"{where}: split_ratios must be numbers, not {value!r}")
    return train, val, test


def _cuts(spec: dict[str, Any], where: str) -> tuple[int, int] | None:
    value = spec.get("split_indices")
    if value is None:
        return None
    if not isinstance(value, dict) or set(value) != {"train_end", "val_end"}:
        raise DataError(f"{where}: split_indices must have exactly the keys train_end, val_end, not {value!r}")
    train_end, val_end = (_positive_int(value, key, f"{where}: split_indices") for key in ("train_end", "val_end"))
    if train_end is None or val_end is None:
        raise DataError(f"{where}: split_indices must be whole numbers, not {value!r}")
    return train_end, val_end
