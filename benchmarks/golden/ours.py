"""dpdrun's scores of a case, under the names that OpenDPD 2.4.2 has for them."""

from __future__ import annotations

from benchmarks.golden.signals import Case
from dpdrun.rf.evm import demodulate
from dpdrun.rf.linearity import linearity

GENERAL, SPECTRAL, LEGACY, ARENA = "general-spectral-v1", "opendpd-spectral-v2", "legacy-opendpd-v1", "evm-aclr-v3"


def scores(case: Case) -> dict[str, float]:
    """By `profile/metric` [dB]; without those that cannot be taken of this case."""
    scored = slice(case.first, case.last)
    found = linearity(
        case.reference[scored],
        case.y[scored],
        case.sample_rate_hz,
        bandwidth_hz=case.bandwidth_hz,
        carriers=case.carriers,
        nperseg=case.nperseg,
        segment=case.nperseg,
    )
    values: dict[str, float | None] = {
        f"{GENERAL}/NMSE": found.nmse_db,
        f"{GENERAL}/IBE": found.in_band_error_db,
        f"{SPECTRAL}/NMSE": found.nmse_db,
        f"{SPECTRAL}/IBE": found.in_band_error_db,
        f"{LEGACY}/NMSE": found.nmse_opendpd_legacy_db,
        f"{LEGACY}/EVM": found.spectral_evm_db,
    }
    for profile, convention, metric in (
        (GENERAL, "general-v1", "ACPR"),
        (SPECTRAL, "opendpd-spectral-v2", "ACLR"),
        (LEGACY, "opendpd-legacy-v1", "ACLR"),
    ):
        if convention in found.aclr:
            leakage = found.aclr[convention]
            values |= {f"{profile}/{metric}_L": leakage.left_dbc, f"{profile}/{metric}_R": leakage.right_dbc}
            if profile != GENERAL:
                values[f"{profile}/{metric}_AVG"] = leakage.average_dbc
    if case.grid is not None and case.starts is not None:
        leakage = found.aclr["opendpd-spectral-v2"]
        values |= {
            f"{ARENA}/nmse_db": found.nmse_db,
            f"{ARENA}/ib_error_db": found.in_band_error_db,
            f"{ARENA}/evm_db": demodulate(case.reference, case.y, case.sample_rate_hz, case.grid, case.starts).evm_db,
            f"{ARENA}/aclr_l_db": leakage.left_dbc,
            f"{ARENA}/aclr_r_db": leakage.right_dbc,
            f"{ARENA}/power_error_db": found.power_change_db,
        }
    return {name: value for name, value in values.items() if value is not None}
