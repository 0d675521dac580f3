"""Constellation of the demodulated OFDM symbols: received and reference points."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpdrun.report.figures.style import COLUMN, PAGE, REFERENCE, NothingToDrawError, new_figure
from dpdrun.report.figures.turn import turn_of
from dpdrun.report.figures.view import View
from dpdrun.rf.evm import Symbols

Points = NDArray[np.complex128]

POINTS = 8000  # of a panel
IN_A_ROW = 4
SHOWN = 0.999  # of the points; the axes end where the rest begins


def draw_constellation(view: View) -> tuple[Any, str]:
    """Return the figure, one panel per trace, and its caption.

    Raises:
        NothingToDrawError: no symbols were demodulated.
    """
    found = []
    for trace, name, colour in zip(view.traces, view.labels, view.colours, strict=True):
        symbols = trace.scores.symbols
        if symbols is not None and np.all(np.isfinite(symbols.constellation)):
            found.append(_Cloud.of(symbols, name.strip(), colour))
    if not found:
        raise NothingToDrawError(view.last.scores.missing.get("evm_db", "no OFDM symbols were demodulated"))
    drawn = [cloud for cloud in found if cloud is not None]
    if not drawn:
        raise NothingToDrawError("the subcarriers are not square QAM whose phase can be found; the tables have the EVM")
    rows = -(-len(drawn) // IN_A_ROW)
    columns = -(-len(drawn) // rows)
    width = COLUMN if columns == 1 else PAGE
    side = (width - 0.45) / columns
    figure = new_figure(width, rows * (side + 0.3) + 0.3)
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    limit = 1.08 * max(cloud.reach for cloud in drawn)
    for axes, cloud in zip(panels.flat, drawn, strict=False):
        cloud.draw(axes)
        axes.set(xlim=(-limit, limit), ylim=(-limit, limit), aspect="equal")
        axes.set_xticks([-1, 0, 1])
        axes.set_yticks([-1, 0, 1])
        axes.set_title(f"{cloud.name}\nEVM {_evm(cloud.symbols)}", fontsize=7.5, pad=3)
    for unused in panels.flat[len(drawn) :]:
        unused.set_visible(False)
    for axes in panels.flat[max(0, len(drawn) - columns) : len(drawn)]:  # the lowest of each column
        axes.set_xlabel("in-phase / rms")
        axes.tick_params(labelbottom=True)
    for axes in panels[:, 0]:
        axes.set_ylabel("quadrature / rms")
    return figure, _caption(view, drawn[-1].symbols)


@dataclass(frozen=True)
class _Cloud:
    """Points of one output, upright and at unit mean power of the reference: received, and reference."""

    name: str
    colour: str
    symbols: Symbols
    received: Points
    meant: Points

    @classmethod
    def of(cls, symbols: Symbols, name: str, colour: str) -> _Cloud | None:
        """Return the cloud; None where the points cannot be turned upright."""
        turn = turn_of(symbols.wanted, symbols.count)
        if turn is None:
            return None
        rms = np.sqrt(np.mean(np.abs(symbols.wanted) ** 2))
        return cls(name, colour, symbols, symbols.constellation * turn, symbols.wanted / rms * turn)

    @property
    def reach(self) -> float:
        """Return how far the axes must extend for nearly all points."""
        points = np.concatenate([self.received, self.meant])
        return float(np.quantile(np.maximum(np.abs(points.real), np.abs(points.imag)), SHOWN))

    def draw(self, axes: Any) -> None:
        """Draw received points in colour over the reference points in grey."""
        step = -(-len(self.meant) // POINTS)
        meant, received = self.meant[::step], self.received[::step]
        axes.plot(meant.real, meant.imag, ".", ms=3.2, mew=0, color=REFERENCE, alpha=0.5, rasterized=True, zorder=2)
        axes.plot(received.real, received.imag, ".", ms=1.5, mew=0, color=self.colour, rasterized=True, zorder=3)


def _evm(symbols: Symbols) -> str:
    return f"{symbols.evm_percent:.3g} % ({symbols.evm_db:.1f} dB)".replace("-", "\N{MINUS SIGN}")


def _caption(view: View, symbols: Symbols) -> str:
    kind = "the wanted signal" if view.predistorter else "the measured output"
    many = len(symbols.wanted)
    shown = "" if many <= POINTS else f", one of {-(-many // POINTS)} of {many:,} points"
    return (
        f"Subcarriers of {symbols.count:,} OFDM symbols of the {view.output_name} (colour) and of {kind} (grey), at "
        f"unit mean power of {kind}, after one complex gain common to all{shown}; phases of FFT window and "
        f"carriers, common to both, are removed. EVM: error over {kind}, both by FFT "
        "of the same samples, without an equaliser."
    )
