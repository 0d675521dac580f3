"""Every linearity score of one output: what an evaluation prints, compares and stores."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numpy as np

from dpdrun.rf import band_intervals, evm
from dpdrun.rf.aclr import CONVENTIONS, SPACED, Aclr, aclr
from dpdrun.rf.bootstrap import BLOCK, Interval, nmse_interval, power_interval
from dpdrun.rf.gain_curve import gain_curve, spread_intervals
from dpdrun.rf.linearity_scores import Linearity
from dpdrun.rf.metrics import Signal, ccdf_db, nmse_db, nmse_opendpd_legacy_db, papr_db, rms, to_db
from dpdrun.rf.ofdm_grid import OfdmGrid, Starts, symbol_starts
from dpdrun.rf.spectrum import SEGMENT, in_band_error_db

NO_BANDWIDTH = "the capture does not state its bandwidth"
NO_CARRIERS = "the capture does not state its number of carriers"
NO_NPERSEG = "the capture does not state the segment length of OpenDPD's legacy scores"
NO_GRID = "the capture does not describe its OFDM symbols"

T = TypeVar("T")


def linearity(
    reference: Signal,
    y: Signal,
    sample_rate_hz: float,
    *,
    bandwidth_hz: float | None = None,
    carriers: int | None = None,
    spacing_hz: float | None = None,
    grid: OfdmGrid | None = None,
    starts: Starts | None = None,
    nperseg: int | None = None,
    segment: int = SEGMENT,
    block: int = BLOCK,
    seed: int = 0,
) -> Linearity:
    """Score an output against its reference.

    Args:
        reference: the wanted output: input times target gain for a predistorter, the measured output for a model of an
            amplifier, (N,) complex128.
        y: the output, (N,) complex128.
        sample_rate_hz: [Hz].
        bandwidth_hz: over all carriers [Hz], where it is known.
        carriers: of equal width in it, where their number is known.
        spacing_hz: between adjacent channels [Hz], where it is stated.
        grid: numerology of the OFDM symbols, where it is known.
        starts: of the FFT windows in this very record; by default they are found in the reference. Give those found in
            the input where the reference is a measured output.
        nperseg: segment of OpenDPD's legacy scores, which mean nothing without it, where it is stated [samples].
        segment: of Welch's spectra, for all others. The same for every capture by default: where a source states
            OpenDPD's `nperseg`, that is often the whole record, of which a spectrum is a single noisy one [samples].
        block: of the bootstrap of NMSE, power and AM/AM and AM/PM spread, longer than the memory [samples].
        seed: of the bootstrap.

    Returns:
        The scores; None, with the reason in `missing`, where the capture does not state what a score needs or is too
        short for it.

    Raises:
        ValueError: shapes differ, a sample is not finite, or a signal has no power.
    """
    _check(reference, y)
    missing, intervals, legacy = dict[str, str](), dict[str, Interval](), nperseg or segment

    def attempt(name: str, score: Callable[[], T], *unstated: str) -> T | None:
        if unstated:
            missing[name] = "; ".join(unstated)
            return None
        try:
            return score()
        except ValueError as error:  # no number is better than a wrong one; `missing` states the reason
            missing[name] = str(error)
            return None

    def keep(name: str, found: Interval | None) -> None:
        if found is not None:
            intervals[name] = found

    no_band, no_carriers = ([] if bandwidth_hz else [NO_BANDWIDTH]), ([] if carriers else [NO_CARRIERS])
    no_nperseg, no_grid = ([] if nperseg else [NO_NPERSEG]), ([] if grid else [NO_GRID])
    band, count = bandwidth_hz or 0.0, carriers or 1

    def leakage(convention: str) -> Callable[[], Aclr]:
        length = legacy if convention == "opendpd-legacy-v1" else segment
        return lambda: aclr(
            y, sample_rate_hz, band, convention=convention, carriers=count, spacing_hz=spacing_hz, nperseg=length
        )

    lacks = {
        "general-v1": no_band,
        "opendpd-spectral-v2": no_band + no_carriers,
        "opendpd-legacy-v1": no_band + no_carriers + no_nperseg,
        **({SPACED: no_band} if spacing_hz else {}),
    }
    leakages = {name: attempt(name, leakage(name), *lacks[name]) for name in CONVENTIONS if name in lacks}
    taken = {name: found for name, found in leakages.items() if found is not None}
    main = taken.get(SPACED) if spacing_hz else taken.get("opendpd-spectral-v2", taken.get("general-v1"))
    in_band = attempt(
        "in_band_error_db",
        lambda: in_band_error_db(reference, y, sample_rate_hz, band, nperseg=segment),
        *no_band,
    )
    gain = attempt("gain_curve", lambda: gain_curve(reference, y))
    symbols = attempt("evm_db", lambda: _symbols(reference, y, sample_rate_hz, grid, starts), *no_grid)

    keep("nmse_db", nmse_interval(reference, y, block=block, seed=seed))
    keep("power_change_db", power_interval(reference, y, block=block, seed=seed))
    if gain is not None:
        for name, found in spread_intervals(reference, y, gain, block=block, seed=seed).items():
            keep(name, found)
    if in_band is not None:
        found = band_intervals.in_band_interval(in_band, reference, y, sample_rate_hz, band, seed=seed)
        keep("in_band_error_db", found)
    if main is not None:
        sides = band_intervals.aclr_intervals(
            main, y, sample_rate_hz, band, carriers=count, spacing_hz=spacing_hz, seed=seed
        )
        for side, found in sides.items():
            keep(f"aclr_{side}_dbc", found)
    if symbols is not None:
        keep("evm_db", band_intervals.evm_interval(symbols, seed=seed))

    return Linearity(
        samples=len(y),
        nmse_db=nmse_db(reference, y),
        nmse_opendpd_legacy_db=attempt(
            "nmse_opendpd_legacy_db", lambda: nmse_opendpd_legacy_db(reference, y, legacy), *no_nperseg
        ),
        in_band_error_db=in_band,
        symbols=symbols,
        spectral_evm_db=attempt(
            "spectral_evm_db",
            lambda: evm.spectral_evm_db(reference, y, sample_rate_hz, band, carriers=count, nperseg=legacy),
            *lacks["opendpd-legacy-v1"],
        ),
        aclr=taken,
        main_aclr=main,
        gain=gain,
        papr_db=papr_db(y),
        reference_papr_db=papr_db(reference),
        power_change_db=to_db((rms(y) / rms(reference)) ** 2),
        ccdf_db=ccdf_db(y),
        reference_ccdf_db=ccdf_db(reference),
        intervals=intervals,
        missing=missing,
    )


def _check(reference: Signal, y: Signal) -> None:
    if reference.shape != y.shape or y.ndim != 1 or len(y) == 0:
        raise ValueError(f"need two (N,) signals of equal length, got {reference.shape} and {y.shape}")
    for name, signal in (("reference", reference), ("output", y)):
        if not np.all(np.isfinite(signal)):
            raise ValueError(f"the {name} has {np.count_nonzero(~np.isfinite(signal)):,} samples that are not finite")
        if not np.any(signal):
            raise ValueError(f"the {name} is all zero; nothing can be said about its linearity")


def _symbols(
    reference: Signal, y: Signal, sample_rate_hz: float, grid: OfdmGrid | None, starts: Starts | None
) -> evm.Symbols:
    assert grid is not None
    found = symbol_starts(reference, sample_rate_hz, grid) if starts is None else starts
    return evm.demodulate(reference, y, sample_rate_hz, grid, found)
