"""What a file format states about a record, before the recipe is applied (see `assemble`)."""

from __future__ import annotations

from dataclasses import dataclass

from dpdrun.data.capture import Part
from dpdrun.rf.ofdm_grid import OfdmGrid


@dataclass(frozen=True, eq=False)
class SourceRecord:
    """The content of a source. None: the source does not state it.

    Attributes:
        name: of the source, as the user wrote it.
        records: one contiguous record, or the (train, val, test) parts that the source gives.
        cuts: first sample of val and of test in a single record, where the source fixes them [samples].
        ratios: shares (train, val, test) of a single record.
        sample_rate_hz, bandwidth_hz: [Hz].
        grid: numerology of the OFDM symbols.
    """

    name: str
    records: tuple[Part] | tuple[Part, Part, Part]
    sample_rate_hz: float | None = None
    bandwidth_hz: float | None = None
    subchannels: int | None = None
    nperseg: int | None = None
    grid: OfdmGrid | None = None
    cuts: tuple[int, int] | None = None
    ratios: tuple[float, float, float] | None = None
    noise_floor_db: float | None = None
    licence: str = "yours"
    note: str = ""
    warnings: tuple[str, ...] = ()
