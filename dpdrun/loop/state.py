"""The state of a measurement loop, as loop.json holds it (docs/loop.md)."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from dpdrun.rf.ofdm_grid import OfdmGrid

SCHEMA_VERSION = 1
Method = Literal["ilc", "model"]
Outcome = Literal["first", "better", "worse"]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True)


class PlayedWaveform(_Record):
    """The waveform of a round.

    Attributes:
        file: to be played, in the folder of the loop.
        based_on: the round that it continues from; None for round 0.
        step: share of the proposed change that was applied; None for round 0.
        peak: largest magnitude, in the unit of the original.
        peak_db, average_db: peak and mean power over those of the original [dB].
        papr_db: peak to average power ratio [dB].
        limited_samples: at the peak limit.
    """

    file: str
    based_on: int | None
    step: float | None
    peak: float
    peak_db: float
    average_db: float
    papr_db: float
    limited_samples: int


class Measurement(_Record):
    """The capture of a round, and how it was aligned.

    Attributes:
        file: as it was given.
        sha256: of its samples.
        samples: in the capture.
        used_samples: of the waveform that were measured.
        periods: of the waveform, averaged over the used samples.
        delay_samples: position in the capture of the waveform's sample 0, in [0, N) [samples].
        frequency_offset_hz: of the receiver [Hz].
        clock_ppm: sample rate of the capture over that of the waveform, less 1 [ppm].
        conjugated: I and Q are swapped, or one is negated.
        reach: frequency up to which the capture holds the output, as a share of the waveform's sample rate.
        gain_change_db, phase_change_deg: gain of the bench over round 0, at equal drive.
        unexplained_db: power of the output that a memory polynomial of the waveform leaves [dB]; None in older loops.
    """

    file: str
    sha256: str
    samples: int
    used_samples: int
    periods: float
    delay_samples: float
    frequency_offset_hz: float
    clock_ppm: float
    conjugated: bool
    reach: float
    gain_change_db: float
    phase_change_deg: float
    unexplained_db: float | None = None


class Scores(_Record):
    """Scores of the output against the original times the complex gain of the round; None: `missing` says why.

    Attributes:
        nmse_db, in_band_error_db: [dB].
        evm_db, evm_percent: of the OFDM symbols.
        aclr_left_dbc, aclr_right_dbc, aclr_worse_dbc: [dBc], under `aclr_convention`.
        gain_db: of the output over the original [dB].
        gain_over_target_db: the same over the target gain, drift removed [dB].
    """

    nmse_db: float
    in_band_error_db: float | None
    evm_db: float | None
    evm_percent: float | None
    aclr_left_dbc: float | None
    aclr_right_dbc: float | None
    aclr_worse_dbc: float | None
    aclr_convention: str | None
    gain_db: float
    gain_over_target_db: float
    missing: dict[str, str]


class Round(_Record):
    """A round: a waveform, and what came back; None while it has not been measured."""

    round: int
    waveform: PlayedWaveform
    measurement: Measurement | None = None
    scores: Scores | None = None
    outcome: Outcome | None = None
    messages: tuple[str, ...] = ()


class Limits(_Record):
    """Limits of every waveform, as magnitudes in the unit of the original, and over the original [dB]."""

    peak: float
    average: float
    peak_db: float
    average_db: float


class LoopState(_Record):
    """Settings and rounds of a loop; the last round is the one that waits for its measurement.

    Attributes:
        dpdrun: version that began the loop.
        source: of the original waveform.
        samples: N, of the waveform.
        subchannels, grid: of an OFDM waveform, where the source states them.
        format: suffix of the waveforms.
        original_aclr_dbc: of the original waveform itself, worse side [dBc]; no output is better.
        target_gain_db: of the linear target over the original, from round 0 [dB].
        step: share of the proposed change that the next waveform applies.
        best_round: the one with the lowest NMSE.
    """

    schema_version: int = SCHEMA_VERSION
    dpdrun: str
    method: Method
    source: str
    sample_rate_hz: float
    bandwidth_hz: float | None
    subchannels: int | None
    samples: int
    format: str
    limits: Limits
    original_aclr_dbc: float | None = None
    target_gain_db: float | None = None
    step: float = 1.0
    best_round: int | None = None
    rounds: tuple[Round, ...]
    grid: OfdmGrid | None = None

    @property
    def waiting(self) -> Round:
        """The round that waits for its measurement."""
        return self.rounds[-1]

    @property
    def best(self) -> Round | None:
        """The round with the lowest NMSE."""
        return None if self.best_round is None else self.rounds[self.best_round]
