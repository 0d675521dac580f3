"""A model in use, in plain numbers: what rules about its deployment see. `evaluation.deployment` measures."""

from __future__ import annotations

from dataclasses import dataclass

from dpdrun.rules.facts.words import fact


@dataclass(frozen=True)
class DeploymentFacts:
    """A waveform that a model is applied to, a stream that is cut into blocks, a model that judges another.

    Attributes:
        level_db: power of the waveform over that of the training input [dB].
        beyond_db, beyond_share: largest magnitude of the waveform over that of the training input [dB], and the share
            of samples above that.
        rate_hz, trained_rate_hz: sample rates of the waveform and of the training input.
        reset_change_db: by length of a block [samples], the change of the output if every block begins with an empty
            state, over the power of the output [dB].
        error_db: NMSE of the run on its validation split, of a predistorter that of the amplifier's output [dB].
        judge: the PA model through which a predistorter is scored.
        judge_error_db: NMSE of that PA model on the same split [dB].
    """

    level_db: float | None = fact("the level of the waveform")
    beyond_db: float | None = fact("the peaks of the waveform, or of the training input")
    beyond_share: float = fact("the share of samples above the training input", float)
    rate_hz: float | None = fact("the sample rate of the waveform")
    trained_rate_hz: float | None = fact("the sample rate of the training input")
    reset_change_db: dict[int, float] | None = fact("the output in blocks")
    error_db: float | None = fact("the NMSE of the run")
    judge: str = fact("the PA model", str)
    judge_error_db: float | None = fact("the NMSE of the PA model")
