"""Begin a loop: read the original waveform, and write it as the first one to play."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from dpdrun import __version__
from dpdrun.data.align.stages import LEAST
from dpdrun.data.assemble import joined, required_rates
from dpdrun.data.capture import Part, SourceRecord
from dpdrun.data.checks import check_samples
from dpdrun.data.formats.detect import open_contents
from dpdrun.data.formats.opendpd_folder import is_folder
from dpdrun.data.formats.waveform import SUFFIXES
from dpdrun.data.plausibility import check_rates
from dpdrun.data.roles import single
from dpdrun.data.sources import locate_source, read_source
from dpdrun.errors import DataError, RunError
from dpdrun.loop.folder import ROUNDS, LoopFolder
from dpdrun.loop.state import Limits, LoopState, Method, Round
from dpdrun.loop.waveform import write_waveform
from dpdrun.recipe.fields import AUTO
from dpdrun.recipe.schema import DataSection
from dpdrun.rf.aclr import aclr
from dpdrun.rf.metrics import rms
from dpdrun.rf.spectrum import channel_bandwidth_hz
from dpdrun.run.files import unwritable, write_text

BEGUN = (ROUNDS, "pa.yaml", "dpd.yaml")  # what a start that was killed may leave
MOST_DB = 60.0  # of a limit; anything above is no dB


def begin(
    folder: LoopFolder,
    section: DataSection,
    *,
    suffix: str,
    method: Method = "ilc",
    peak_db: float = 0.0,
    average_db: float = 0.0,
    recipes: Mapping[str, str] | None = None,
) -> LoopState:
    """Write the first waveform, undistorted, and loop.json.

    Args:
        folder: new or empty.
        section: the source; of a capture, its input is the waveform.
        suffix: of the format of the waveforms.
        method: how the next waveform is found.
        peak_db, average_db: limits of peak and mean power over those of the original [dB].
        recipes: texts of the recipes of method model, by task: pa and dpd.

    Raises:
        DataError: the source cannot be read, or a limit or the format is wrong.
        RunError: the folder holds something else.
    """
    if suffix not in SUFFIXES:
        raise DataError(f"--waveforms {suffix.removeprefix('.')}: cannot be written; there are {', '.join(SUFFIXES)}")
    for flag, value in (("--peak-db", peak_db), ("--average-db", average_db)):
        if not 0 <= value <= MOST_DB:
            raise DataError(
                f"{flag} {value:g}: a limit over the original, in dB, 0 or more; for less, scale the waveform down or "
                "lower the level of the generator"
            )
    reading = read_original(section)
    x = reading.records[0].x
    rate, bandwidth = required_rates(section, reading)
    if section.check_rates == "on":
        check_rates(x, rate, bandwidth, reading.name)
    if bandwidth is not None:
        bandwidth = min(channel_bandwidth_hz(x, rate, bandwidth), rate)
    _make(folder)
    limits = Limits(
        peak=float(np.max(np.abs(x))) * 10 ** (peak_db / 20), average=rms(x) * 10 ** (average_db / 20),
        peak_db=peak_db, average_db=average_db,
    )  # fmt: skip
    own = None
    if bandwidth is not None:
        try:
            own = aclr(x, rate, bandwidth, carriers=reading.subchannels or 1).worse_dbc
        except ValueError:  # the adjacent channels are not in the waveform
            own = None
    state = LoopState(
        dpdrun=__version__, method=method, source=reading.name, sample_rate_hz=rate, bandwidth_hz=bandwidth,
        subchannels=reading.subchannels, grid=reading.grid, samples=len(x), format=suffix, limits=limits,
        original_aclr_dbc=own, rounds=(),
    )  # fmt: skip
    with folder.lock():
        for task, text in (recipes or {}).items():
            write_text(folder.recipe(task), text)
        first = write_waveform(folder, state, 0, x, based_on=None, original=x)
        state = state.model_copy(update={"rounds": (Round(round=0, waveform=first),)})
        folder.write(state)
    return state


def read_original(section: DataSection) -> SourceRecord:
    """Return the waveform of a source as one record; its output, if it has one, is not used. Raises DataError."""
    source = locate_source(section.source)
    if isinstance(source, str) and Path(source).is_file():
        columns, name = (None if value == AUTO else value for value in (section.columns, section.input))
        contents = open_contents(Path(source), str(section.source), columns=columns)
        x = np.asarray(single(contents, str(section.source), "input", name).load(), np.complex128)
        check_samples(x, str(section.source), ("I", "Q"))
        reading = SourceRecord(
            str(section.source), (Part(x, x),), contents.sample_rate_hz, contents.bandwidth_hz,
            rate_tolerance=contents.rate_tolerance,
        )  # fmt: skip
    else:
        if isinstance(source, str) and Path(source).is_dir() and not is_folder(Path(source)):
            raise DataError(f"{section.source}: this is a folder; name the file of the waveform in it")
        reading = read_source(section.model_copy(update={"source": source}))
        if len(reading.records) == 3:
            reading = replace(reading, records=(joined(reading),))
    if len(reading.records[0].x) < LEAST:
        raise DataError(f"{reading.name}: {len(reading.records[0].x):,} samples; a loop needs {LEAST:,} to align")
    return reading


def _make(folder: LoopFolder) -> None:
    """Create the folder. Raises RunError where it holds a loop or anything else; a begun one may be begun again."""
    if folder.path.exists() and not folder.path.is_dir():
        raise RunError(f"{folder.path}: this is a file; name a folder with -o")
    if folder.state_file.exists():
        raise RunError(f"{folder.path}: there is a loop in this folder; continue it, or name another folder with -o")
    try:
        folder.path.mkdir(parents=True, exist_ok=True)
        names = [each.name for each in folder.path.iterdir()]
    except OSError as error:
        raise unwritable(folder.path, error) from error
    others = [name for name in names if name not in BEGUN and "waveform-0." not in name]
    if others:
        raise RunError(f"{folder.path}: holds other files ({others[0]}); name a new folder with -o")
