"""Score the output of a round against the linear target."""

from __future__ import annotations

from dpdrun.loop.state import LoopState, Scores
from dpdrun.rf.linearity import linearity
from dpdrun.rf.metrics import Signal, one_tap_gain, to_db

STATED = {"evm_db": "evm_db", "in_band_error_db": "in_band_error_db", "aclr": "general-v1"}  # what may be missing


def score(state: LoopState, x: Signal, y: Signal, *, target_gain: float, gain_change: float) -> Scores:
    """Return the scores of an output.

    The reference is x times the complex gain of this very output, by least squares: neither the drift of the bench nor
    a change of output power counts as distortion; both are stated.

    Args:
        state: of the loop.
        x: the original, (K,) complex128.
        y: output at the same instants, (K,).
        target_gain: of the linear target.
        gain_change: of the bench since round 0.
    """
    gain = one_tap_gain(x, y)
    found = linearity(
        x * gain, y, state.sample_rate_hz, bandwidth_hz=state.bandwidth_hz, carriers=state.subchannels, grid=state.grid
    )
    main, symbols = found.main_aclr, found.symbols
    return Scores(
        nmse_db=found.nmse_db,
        in_band_error_db=found.in_band_error_db,
        evm_db=found.evm_db,
        evm_percent=None if symbols is None else symbols.evm_percent,
        aclr_left_dbc=None if main is None else main.left_dbc,
        aclr_right_dbc=None if main is None else main.right_dbc,
        aclr_worse_dbc=None if main is None else main.worse_dbc,
        aclr_convention=None if main is None else main.convention,
        gain_db=to_db(abs(gain) ** 2),
        gain_over_target_db=to_db((abs(gain) / (target_gain * gain_change)) ** 2),
        missing={
            name: found.missing[key]
            for name, key in STATED.items()
            if key in found.missing and not (name == "aclr" and main is not None)
        },
    )
