"""The pairs that both sides score: OpenDPD's own captures, the record of its Arena, and one made from a seed.

The last needs nothing but numpy, so a test can score it again at any time (tests/benchmarks/test_golden.py).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dpdrun.data.capture import Capture, Part
from dpdrun.data.ofdm import OfdmSettings, ofdm_waveform
from dpdrun.data.sources import load_capture
from dpdrun.recipe.schema import DataSection, GMPModel
from dpdrun.rf.metrics import Signal, rms
from dpdrun.rf.ofdm_grid import OfdmGrid, Starts, around_centre

CAPTURES = ("APA_200MHz", "APA_200MHz_b", "DPA_160MHz", "DPA_200MHz")
ARENA = "apa-200mhz-b"
CUT = 1001  # samples that a cut copy lacks at its end, so that the legacy scores have a segment to fill up


@dataclass(frozen=True, eq=False)
class Case:
    """An output and what it should be, with what is known about the signal.

    Attributes:
        name: `capture/signal`.
        first, last: samples that are scored but for the EVM, which is given the whole record, as the Arena does it.
        start: of this record in the capture [samples].
        arena_grid: the grid as the Arena has it, where it has one; `grid` and `starts` say the same in our words.
    """

    name: str
    reference: Signal
    y: Signal
    sample_rate_hz: float
    bandwidth_hz: float
    carriers: int
    nperseg: int
    first: int = 0
    last: int | None = None
    start: int = 0
    arena_grid: dict[str, Any] | None = None
    grid: OfdmGrid | None = None
    starts: Starts | None = None


def cases(wheel: Path) -> Iterator[Case]:
    """All of them. `wheel` is the folder that OpenDPD's wheel was unpacked to."""
    yield from seeded()
    for name in CAPTURES:
        yield from _of_capture(name)
    yield from _of_arena(wheel / "opendpd" / "arena_assets")


def perturbed(y: Signal, seed: int = 0) -> Signal:
    """A copy with a wrong gain, some distortion, a tilt over frequency and noise: every score has something to see."""
    rng = np.random.default_rng(seed)
    noise = (rng.standard_normal(len(y)) + 1j * rng.standard_normal(len(y))) * rms(y) * 0.01
    bent = y * (1 + (0.03 - 0.02j) * np.abs(y / rms(y)) ** 2)
    return np.asarray(0.98 * np.exp(0.02j) * bent + 0.02j * np.roll(y, 1) + noise, np.complex128)


def seeded() -> Iterator[Case]:
    """OFDM of three carriers on one clock, from a seed; scored whole and without its end."""
    settings = OfdmSettings(
        sample_rate_hz=61.44e6, fft=2048, prefix=144, symbols=9, carriers=3, carrier_bins=170, active=156, qam=64
    )
    x = ofdm_waveform(settings, np.random.default_rng(5))
    y, period = perturbed(x), settings.fft + settings.prefix
    begins = tuple(k * period + settings.prefix for k in range(settings.symbols))
    step = settings.sample_rate_hz / settings.fft
    occupied = [int(round(f / step) + b) % settings.fft for f in settings.grid.carriers_hz for b in settings.grid.bins]
    signal = (settings.sample_rate_hz, settings.carriers * settings.carrier_bins * step, settings.carriers, 4096)
    yield Case(
        "seeded/perturbed",
        x,
        y,
        *signal,
        arena_grid={
            "useful_samples": settings.fft,
            "prefix_samples": settings.prefix,
            "occupied_bins": sorted(occupied),
        },
        grid=settings.grid,
        starts=(begins,) * settings.carriers,
    )
    yield Case("seeded/perturbed, cut", x[:-CUT], y[:-CUT], *signal)


def _of_capture(name: str) -> Iterator[Case]:
    capture = load_capture(DataSection(source=f"opendpd/{name}"))
    y = capture.test.y
    assert capture.bandwidth_hz is not None
    assert capture.subchannels is not None
    assert capture.nperseg is not None
    signal = (capture.sample_rate_hz, capture.bandwidth_hz, capture.subchannels, capture.nperseg)
    yield Case(f"{name}/perturbed", y, perturbed(y), *signal)
    yield Case(f"{name}/perturbed, cut", y[:-CUT], perturbed(y)[:-CUT], *signal)
    yield Case(f"{name}/gmp", y, _gmp(capture), *signal)


def _gmp(capture: Capture) -> Signal:
    """The gmp of default size, fitted to the training part, on the input of the test part."""
    from dpdrun.evaluation.prediction import predict
    from dpdrun.models import gmp

    model = gmp.Model(GMPModel(kind="gmp"), scale_x=capture.scale_x, scale_y=capture.scale_y)
    loop = capture.loop_samples
    model.fit(capture.train.x, capture.train.y, capture.val.x, capture.val.y, loop=loop)
    return predict(model, capture.test.x, loop=loop)


def _of_arena(assets: Path) -> Iterator[Case]:
    """The test part of the Arena: its target against the measured output, a gmp of it, and a perturbed copy."""
    card = json.loads((assets / "calibration-v6-apa-b.json").read_text(encoding="utf-8"))[ARENA]
    record = np.load(assets / card["data_file"])
    parts = []
    for part in ("train", "val", "test"):
        pairs = (record[f"{side}_{part}"].astype(np.float64) for side in "xy")
        parts.append(Part(*(pair[:, 0] + 1j * pair[:, 1] for pair in pairs)))
    signal, window, grid = card["signal"], card["stimuli"]["splits"]["test"], card["evm_grid"]
    rate, band, carriers = signal["sample_rate_hz"], signal["bandwidth_hz"], signal["n_sub_ch"]
    capture = Capture(ARENA, rate, band, carriers, "Apache-2.0", "", *parts)
    target = card["reference_gain"] * capture.test.x
    start = card["split"]["boundaries"]["test"][0]
    active = [bin - grid["useful_samples"] * (bin > grid["useful_samples"] // 2)
              for bin in grid["carriers"][0]["occupied_bins"]]  # fmt: skip
    assert sorted(active) == list(around_centre(grid["n_active_per_carrier"]))
    for name, y in (("measured", capture.test.y), ("gmp", _gmp(capture)), ("perturbed", perturbed(target))):
        yield Case(
            f"Arena {ARENA}/{name}",
            target,
            y,
            rate,
            band,
            carriers,
            signal["nperseg"],
            first=window["metric_start"],
            last=window["metric_stop"],
            start=start,
            arena_grid=grid,
            grid=OfdmGrid(
                grid["useful_samples"],
                grid["prefix_samples"],
                tuple(-carrier["frequency_shift_hz"] for carrier in grid["carriers"]),
                tuple(active),
                half_band_hz=grid["carriers"][0]["filter_half_bandwidth_hz"],
            ),
            starts=tuple(tuple(at - start for at in carrier["fft_starts"]) for carrier in grid["carriers"]),
        )
