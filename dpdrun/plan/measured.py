"""The parts of a plan that no rule sets: what the capture, the PA model and the run to start from decide."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from dpdrun.run.files import encode_numbers


@dataclass(frozen=True)
class Predistortion:
    """The values that the data and the PA model decide for a predistorter.

    Attributes:
        pa_sha256: of the tensors of the PA model; None where there is none (indirect learning).
        gain: the linear gain G to aim at, in units of output over input of the capture.
        peak_limit: largest magnitude of the predistorter's output, in the unit of the input; inf = off.
    """

    pa_sha256: str | None
    gain: float
    peak_limit: float

    def to_json(self) -> dict[str, Any]:
        """Return plain values; no limit is "inf"."""
        found: dict[str, Any] = encode_numbers(asdict(self))
        return found


@dataclass(frozen=True)
class Initialization:
    """The weights that training starts from (`train.init_from`).

    Attributes:
        sha256: of the file with the weights.
        taken: names of the parameters that have their values from it.
        fresh: the others by name, and why they start as in a run without it.
        unused: names of the tensors in the file that the model has no place for.
        frozen: names of the parameters that are not trained (`train.freeze`).
    """

    sha256: str
    taken: tuple[str, ...]
    fresh: Mapping[str, str]
    unused: tuple[str, ...] = ()
    frozen: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}
