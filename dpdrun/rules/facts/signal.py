"""A prediction compared with its target, in plain numbers: what the signal rules see and report.json keeps.

`diagnosis.signal.checks` measures.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from dpdrun.rules.facts.words import fact, needed
from dpdrun.run.files import decode_numbers

PIECES = 10  # of the record in `position_db`
LEVELS = 10  # groups of |x|, equally many samples each


@dataclass(frozen=True)
class SignalFacts:
    """A prediction p of a target y, with the input x where it is known. None: not known, or not measurable from these.

    Powers and errors are pooled; every NMSE is over the power of y. "Gain" is that of the model's output.

    Attributes:
        samples: N.
        nmse_db: of the prediction as it is [dB].
        position_db: NMSE of PIECES equal pieces of the record, in order [dB].
        start_samples, rise_db, rise_z: the beginning after which the error is most above that before: its length
            [samples], how many dB the median error lies higher after it (at equal level of y), and by how many
            standard errors. None where no beginning is better than the rest.
        period, period_edge, period_at, period_db, period_cost_db, period_z: length after which the error repeats
            [samples], length of the stretch of it where the error is high, where that begins in the period, how far it
            stands out [dB], what it costs in NMSE [dB], and by how many standard errors. None: does not repeat.
        frame: length of the frames that the model was trained on [samples].
        piece: length of the pieces that it was scored on, None for the complete record.
        full_attention, features, embedding, lookahead: of the model: whether it attends to everything that it is
            given, and model.features, model.embedding and model.lookahead of its recipe; None where it is not stated.
        pieces_nmse_db: NMSE when the record is cut into pieces of `frame` samples [dB].
        judged_nmse_db: NMSE of the prediction that all that follows is about: the one in pieces where that is clearly
            better, else that of the record [dB].
        mirrored, mirror_nmse_db, mirror_deg: whether p follows conj(y); then the NMSE of the best gain on conj(p) [dB]
            and the angle between p and conj(y): 0 where Q is negated, 180 where I is, 90 or -90 where they are swapped.
        lag_samples, lag_nmse_db, unshifted_nmse_db: how much later than y the prediction comes [samples], and the NMSE
            of the best gain with and without that delay, without the ends of the record [dB].
        gain_db, gain_deg: of p over y, by least squares: 0 and 0 where the scale is right.
        gain_nmse_db: NMSE after the one complex factor that suits p best [dB].
        target_gain_db, model_gain_db: gain of y and of p over x in LEVELS groups of |x|, smallest first [dB].
        target_gain_deg, model_gain_deg: its angle, without jumps of 360 degrees [deg].
        level_share: share of the error (after the best gain) that is a wrong gain for the input level, 0 to 1.
        target_spread_db, model_spread_db: what the best curve of gain over |x| leaves of y, and of p over the power of
            p [dB].
        linear_nmse_db, polynomial_nmse_db: of the best FIR filter and of a memory polynomial, both fitted to this very
            record, x to y [dB].
        nonlinear_share: share of what the polynomial adds to the filter that is in the prediction, 0 to 1.
        clipped_samples, clip_level: samples that sit at the largest value of I, of Q or of the magnitude, and that
            value over the rms of p; 0 and None where nothing is cut.
        clip_short_db: by how much y is above that value there, in the mean [dB].
        lead_samples, present_nmse_db, ahead_nmse_db: how much earlier than x the target comes [samples], and the NMSE
            of one complex gain on x as it is, and on x so many samples ahead [dB]. None: the target does not come
            earlier, by a sample or more.
        wanted_gain_db: gain from x to y, where y is a scaled copy of x (a predistorter's goal) [dB].
    """

    samples: int = needed("the length of the record")
    nmse_db: float = needed("the NMSE of the prediction")
    position_db: tuple[float, ...] = fact("the NMSE by position", tuple)
    start_samples: int | None = fact("the beginning that is better")
    rise_db: float | None = fact("the rise of the error after it")
    rise_z: float | None = fact("the certainty of that rise")
    period: int | None = fact("a period of the error")
    period_edge: int | None = fact("the length of its edge")
    period_at: int | None = fact("the place of its edge")
    period_db: float | None = fact("the size of its edge")
    period_cost_db: float | None = fact("the cost of its edge")
    period_z: float | None = fact("the certainty of the period")
    frame: int | None = fact("the frame of the training")
    piece: int | None = fact("the length that was scored")
    full_attention: bool | None = fact("the attention of the model")
    features: str | None = fact("model.features")
    embedding: str | None = fact("model.embedding")
    lookahead: int | None = fact("model.lookahead")
    pieces_nmse_db: float | None = fact("the NMSE on frames")
    judged_nmse_db: float | None = fact("the NMSE of the prediction")
    mirrored: bool = fact("the side of the spectrum", bool)
    mirror_nmse_db: float | None = fact("the NMSE of the conjugate")
    mirror_deg: float | None = fact("the angle to the conjugate")
    lag_samples: float | None = fact("the delay of the prediction")
    lag_nmse_db: float | None = fact("the NMSE without the delay")
    unshifted_nmse_db: float | None = fact("the NMSE with the delay")
    gain_db: float | None = fact("the gain of the prediction over the target")
    gain_deg: float | None = fact("the phase of the prediction over the target")
    gain_nmse_db: float | None = fact("the NMSE after the best gain")
    target_gain_db: tuple[float, ...] = fact("the gain of the target by level", tuple)
    model_gain_db: tuple[float, ...] = fact("the gain of the prediction by level", tuple)
    target_gain_deg: tuple[float, ...] = fact("the phase of the target by level", tuple)
    model_gain_deg: tuple[float, ...] = fact("the phase of the prediction by level", tuple)
    level_share: float | None = fact("the input (--input)")
    target_spread_db: float | None = fact("the spread of the target")
    model_spread_db: float | None = fact("the spread of the prediction")
    linear_nmse_db: float | None = fact("the NMSE of a linear filter")
    polynomial_nmse_db: float | None = fact("the NMSE of a memory polynomial")
    nonlinear_share: float | None = fact("the nonlinear part of the prediction")
    clipped_samples: int = fact("clipped samples", int)
    clip_level: float | None = fact("the level of clipping")
    clip_short_db: float | None = fact("the shortfall of clipped samples")
    lead_samples: int | None = fact("the lead of the target")
    present_nmse_db: float | None = fact("the NMSE of one gain")
    ahead_nmse_db: float | None = fact("the NMSE of one gain on the shifted input")
    wanted_gain_db: float | None = fact("the wanted gain")

    def to_json(self) -> dict[str, Any]:
        """Return plain values, as `signal` in report.json; see `from_json`."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    @classmethod
    def from_json(cls, content: Any) -> SignalFacts | None:
        """Read back what `to_json` wrote; keys of a later version are passed over.

        Returns:
            None where there is nothing to read: no dict, or one without the two facts that there always are.
        """
        if not isinstance(content, Mapping) or not {"samples", "nmse_db"} <= content.keys():
            return None
        known = {field.name for field in fields(cls)} & content.keys()
        values: dict[str, Any] = {name: decode_numbers(content[name]) for name in known}
        values |= {name: tuple(value) for name, value in values.items() if isinstance(value, list)}
        return cls(**values)
