"""The linearity scores as a record, and as plain values. `linearity` computes them."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from dpdrun.rf.aclr import Aclr
from dpdrun.rf.bootstrap import LEVEL, METHOD, Interval
from dpdrun.rf.evm import Symbols
from dpdrun.rf.gain_curve import GainCurve


@dataclass(frozen=True, eq=False)
class Linearity:
    """Linearity scores of an output against its reference. None: `missing` states the reason under the same name.

    Attributes:
        samples: N.
        nmse_db: pooled NMSE [dB].
        nmse_opendpd_legacy_db: mean over segments of the NMSE in dB, as OpenDPD's legacy profile [dB].
        in_band_error_db: error over reference in the band of the signal [dB].
        symbols: the demodulated OFDM symbols, which hold the EVM.
        spectral_evm_db: OpenDPD's "EVM" over FFT bins of the band; no symbol is demodulated [dB].
        aclr: by convention, those that can be taken.
        main_aclr: the one to rank by: by the channel spacing where it is stated, OpenDPD's spectral-v2 where the
            carriers are known, else general-v1.
        gain: AM/AM and AM/PM.
        papr_db, reference_papr_db: of output and reference as sampled [dB].
        power_change_db: mean power of the output over that of the reference [dB].
        ccdf_db, reference_ccdf_db: level over the mean that is exceeded with a probability [dB].
        intervals: by the name of the score in `to_json`; the ACLR ones are of `main_aclr`. A score without one has too
            few blocks for it; a PAPR never has one, for it is a single sample.
        missing: the reason, by the name of what is None or not in `aclr`.
    """

    samples: int
    nmse_db: float
    nmse_opendpd_legacy_db: float | None
    in_band_error_db: float | None
    symbols: Symbols | None
    spectral_evm_db: float | None
    aclr: dict[str, Aclr]
    main_aclr: Aclr | None
    gain: GainCurve | None
    papr_db: float
    reference_papr_db: float
    power_change_db: float
    ccdf_db: dict[float, float | None]
    reference_ccdf_db: dict[float, float | None]
    intervals: dict[str, Interval] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)

    @property
    def evm_db(self) -> float | None:
        """Of the OFDM symbols, after one common complex gain [dB]."""
        return None if self.symbols is None else self.symbols.evm_db

    def to_json(self) -> dict[str, Any]:
        """Return plain values: numbers, strings, None, lists, and dicts with string keys. The symbols are left out."""
        symbols, main = self.symbols, self.main_aclr
        return {
            "samples": self.samples,
            "nmse_db": self.nmse_db,
            "nmse_opendpd_legacy_db": self.nmse_opendpd_legacy_db,
            "in_band_error_db": self.in_band_error_db,
            "evm_db": self.evm_db,
            "evm_percent": None if symbols is None else symbols.evm_percent,
            "evm_symbols": None if symbols is None else symbols.count,
            "spectral_evm_db": self.spectral_evm_db,
            "aclr_convention": None if main is None else main.convention,
            "aclr_left_dbc": None if main is None else main.left_dbc,
            "aclr_right_dbc": None if main is None else main.right_dbc,
            "aclr_worse_dbc": None if main is None else main.worse_dbc,
            "aclr": {name: _aclr(found) for name, found in self.aclr.items()},
            "am_am_spread_db": None if self.gain is None else self.gain.am_am_spread_db,
            "am_pm_spread_deg": None if self.gain is None else self.gain.am_pm_spread_deg,
            "compression_db": None if self.gain is None else self.gain.compression_db,
            "phase_shift_deg": None if self.gain is None else self.gain.phase_shift_deg,
            "gain_curve": None if self.gain is None else _curve(self.gain),
            "papr_db": self.papr_db,
            "reference_papr_db": self.reference_papr_db,
            "power_change_db": self.power_change_db,
            "ccdf_db": {f"{p:g}": level for p, level in self.ccdf_db.items()},
            "reference_ccdf_db": {f"{p:g}": level for p, level in self.reference_ccdf_db.items()},
            "interval_method": METHOD,
            "interval_level": LEVEL,
            "intervals": {name: [found.low, found.high] for name, found in self.intervals.items()},
            "missing": dict(self.missing),
        }


def _aclr(found: Aclr) -> dict[str, Any]:
    bands = {name: list(band) for name, band in asdict(found).items() if isinstance(band, tuple)}
    return {**asdict(found), **bands, "worse_dbc": found.worse_dbc, "average_dbc": found.average_dbc}


def _curve(gain: GainCurve) -> dict[str, list[float]]:
    names = ("level", "gain_db", "phase_deg", "samples", "spread_db", "spread_deg")
    return {name: getattr(gain, name).tolist() for name in names}
