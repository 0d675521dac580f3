"""What a capture implies about the size of its model, as plain values for rules and reports."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from dpdrun.data.capture import Capture
from dpdrun.data.inspection import noise_floor
from dpdrun.data.signal_path import do_not_line_up, signal_path
from dpdrun.rf.memory_depth import EXACT_DB, MemorySweep, fit_memory_sweep


@dataclass(frozen=True)
class DataReading:
    """Measurements of a capture. NMSE over the output power of the validation split [dB].

    Attributes:
        name: of the source.
        train_samples, val_samples: of the parts.
        memory: samples that an output depends on, the current one counted; `memory_at_least`: it may be more.
        near_memory: the same of effects that an attention window can hold; `slow_gain_db`: what slower ones gain [dB].
        ahead: future samples worth using.
        ahead_gain_db: what future samples gain at best [dB].
        polynomial_db: the best least-squares fit [dB].
        floor_db: of the noise [dB], None if unknown.
        floor_caveat: what to doubt about it, or why there is none.
        rungs, ahead_rungs: (samples, NMSE [dB]) of each fit.
        warnings: why no size would help: input and output do not line up, or nothing is left to learn.
    """

    name: str
    train_samples: int
    val_samples: int
    loop_samples: int | None
    memory: int
    memory_at_least: bool
    ahead: int
    ahead_gain_db: float
    polynomial_db: float
    floor_db: float | None
    floor_caveat: str
    rungs: tuple[tuple[int, float], ...]
    ahead_rungs: tuple[tuple[int, float], ...]
    warnings: tuple[str, ...] = ()
    near_memory: int | None = None
    slow_gain_db: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """Return the stable machine-readable form."""
        return asdict(self)


def read_sizes(capture: Capture) -> DataReading:
    """Fit the memory sweep to the training split and score it on the validation split; the test split is not used."""
    train, val = capture.train, capture.val
    ladder = fit_memory_sweep(train.x, train.y, val.x, val.y, loop=capture.loop_samples)
    floor_db, caveat = _floor(capture)
    return DataReading(
        name=capture.name,
        train_samples=len(train),
        val_samples=len(val),
        loop_samples=capture.loop_samples,
        memory=ladder.memory,
        memory_at_least=ladder.is_longer,
        near_memory=ladder.near_memory,
        slow_gain_db=ladder.slow_gain_db,
        ahead=ladder.lookahead,
        ahead_gain_db=ladder.lookahead_gain_db,
        polynomial_db=ladder.polynomial_db,
        floor_db=floor_db,
        floor_caveat=caveat,
        rungs=ladder.candidates,
        ahead_rungs=ladder.ahead,
        warnings=(
            *do_not_line_up(signal_path(train.x, train.y), capture.sample_rate_hz),
            *_is_exact(ladder),
        ),
    )


def _is_exact(ladder: MemorySweep) -> list[str]:
    if ladder.polynomial_db > EXACT_DB + 1.0:
        return []
    return [
        f"least squares fits this output to {EXACT_DB:g} dB or better, the precision of 16-bit numbers: it was "
        "computed, not measured (a simulation without noise, or a filter); model.kind gmp is enough"
    ]


def _floor(capture: Capture) -> tuple[float | None, str]:
    if capture.noise_floor_db is not None:
        return capture.noise_floor_db, "known: added by the generator"
    found = noise_floor(capture)
    return found.nmse_db, found.caveat
