"""The style of all figures, and the only code that writes one to a file. matplotlib comes with the first one.

The colours were searched for: any two of them, and REFERENCE, differ by 19 or more in CIE L*a*b* (CIE 1976), as normal,
protan, deutan and tritan eyes see them (full loss, Machado 2009, doi 10.1109/TVCG.2009.113). All stand out from white
by 2.6:1 or more.
"""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dpdrun.errors import DataError, reason_of, visible
from dpdrun.run.files import replacing

METADATA: dict[str, dict[str, None]] = {  # what is left out of a file: the same figure, the same bytes
    ".png": {"Software": None},
    ".svg": dict.fromkeys(("Date", "Creator", "Format", "Type")),
    ".pdf": {"CreationDate": None},
}
PLOT_SUFFIXES = tuple(METADATA)  # of a figure in a file of its own

MAIN, SECOND = "#0b4f8a", "#c2410c"
PALETTE = (MAIN, SECOND, "#0f8a4d", "#72194d", "#d2940f", "#42acd0")  # of compared outputs, the most important first
REFERENCE = "#7a7a7a"  # what the others are compared with
INK = "#1c2128"
SHADE = "#f2c879"  # of adjacent channels, at SHADE_ALPHA
SHADE_ALPHA = 0.35

COLUMN, PAGE = 3.5, 7.16  # inches: one and two columns of an IEEE journal
POINT = 1 / 72  # inches
DPI = 220
NAME = 26  # characters of a name in a legend
ELLIPSIS = "..."
NO_MATPLOTLIB = "a plot needs matplotlib: pip install 'dpdrun[plots]'"

DOCTYPE = re.compile(rb"<!DOCTYPE[^>]*>\n?")  # names an address; nothing needs it

RC: Any = {
    "font.family": "DejaVu Sans",  # ships with matplotlib: the same everywhere
    "font.size": 7.5,
    "axes.titlesize": 8,
    "axes.labelsize": 7.5,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "legend.handlelength": 1.8,
    "legend.columnspacing": 1.2,
    "legend.labelspacing": 0.35,
    "legend.borderpad": 0.1,
    "legend.borderaxespad": 0.2,
    "axes.linewidth": 0.6,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.linewidth": 0.35,
    "grid.color": "#d9dde3",
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "xtick.minor.size": 1.5,
    "ytick.minor.size": 1.5,
    "lines.linewidth": 1.0,
    "lines.solid_capstyle": "round",
    "figure.constrained_layout.h_pad": 0.05,
    "figure.constrained_layout.w_pad": 0.05,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "svg.fonttype": "path",  # the same glyphs on a machine without the font
    "svg.hashsalt": "dpdrun",  # the same figure, the same bytes
}


class NothingToDrawError(Exception):
    """There is no such figure of this scene; the message gives the reason to the reader of the report."""


@dataclass(frozen=True)
class Picture:
    """A finished figure: as a PNG at 220 dpi, as an SVG in which only clouds of points are pixels, as a PDF where one
    was asked for, and its labelled lines as CSV: panel, curve, name of the x axis, x, y.
    """

    png: bytes
    svg: bytes
    pdf: bytes = b""
    curves: str = ""

    def file(self, suffix: str) -> bytes:
        """Return the bytes of the file with one of `PLOT_SUFFIXES`."""
        return {".png": self.png, ".svg": self.svg, ".pdf": self.pdf}[suffix]


def new_figure(width: float, height: float) -> Any:
    """Return a matplotlib Figure on an Agg canvas [inches], without pyplot and its global state.

    Raises:
        DataError: matplotlib is not installed.
    """
    with _importing_matplotlib():
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


@contextmanager
def paper_style() -> Iterator[None]:
    """Apply RC, and matplotlib's own defaults elsewhere, to the figures drawn in this context.

    Raises:
        DataError: matplotlib is not installed.
    """
    with _importing_matplotlib():
        from matplotlib import rc_context, rcdefaults, rcParams
    with rc_context():
        rcdefaults()
        rcParams.update(RC)
        yield


@contextmanager
def _importing_matplotlib() -> Iterator[None]:
    """Hide the `matplotlibrc` of the current folder, which may be a stranger's, while matplotlib is imported.

    matplotlib prefers that file to any other, and no setting keeps it from doing so; it may run LaTeX.

    Raises:
        DataError: matplotlib is not installed, or refuses its settings.
    """
    exists = os.path.exists
    os.path.exists = lambda path: path != "matplotlibrc" and exists(path)
    try:
        yield
    except ImportError:
        raise DataError(NO_MATPLOTLIB) from None
    except ValueError as error:
        raise DataError(f"matplotlib: {reason_of(error)}; is MPLBACKEND wrong, or a matplotlibrc of yours?") from None
    finally:
        os.path.exists = exists


def picture(figure: Any, suffix: str = ".png") -> Picture:
    """Return the files of a figure; call it in the same `paper_style` as the figure was drawn in.

    Args:
        figure: of matplotlib.
        suffix: ".pdf" adds a PDF; the others are always made.
    """
    png, svg, pdf = io.BytesIO(), io.BytesIO(), io.BytesIO()
    _save(figure, png, ".png", DPI)
    _save(figure, svg, ".svg", DPI)
    if suffix == ".pdf":
        _save(figure, pdf, ".pdf", DPI)
    return Picture(png.getvalue(), DOCTYPE.sub(b"", svg.getvalue(), count=1), pdf.getvalue(), curves_csv(figure))


def curves_csv(figure: Any) -> str:
    """Return the lines of a figure that have a label, a row for each point; "" where there are none, but clouds.

    A panel without a label of its own has that of its row, and of the panels below it.
    """
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    below = next((axes.get_xlabel() for axes in reversed(figure.axes) if axes.get_xlabel()), "x")
    rows.writerow(("panel", "curve", "axis", "x", "y"))
    panel, head = "", len(text.getvalue())
    for axes in figure.axes:
        panel = axes.get_ylabel() or panel
        name = f"{panel}, {axes.get_title()}" if axes.get_title() else panel
        for line in axes.get_lines():
            label = str(line.get_label())
            if label.startswith("_"):
                continue
            for x, y in zip(line.get_xdata(), line.get_ydata(), strict=True):
                rows.writerow((plain(name), plain(label), axes.get_xlabel() or below, f"{x:.9g}", f"{y:.9g}"))
    return text.getvalue() if len(text.getvalue()) > head else ""


def save_figure(figure: Any, path: Path, *, dpi: int) -> None:
    """Write a figure into a file; its suffix is the format. Raises DataError, UnwritableError."""
    suffix = path.suffix.lower()
    if suffix not in PLOT_SUFFIXES:
        raise DataError(
            f"{path}: cannot draw {path.suffix or 'a file without a suffix'}; use {', '.join(PLOT_SUFFIXES)}"
        )
    with replacing(path) as temporary:
        _save(figure, temporary, suffix, dpi)


def _save(figure: Any, target: Path | io.BytesIO, suffix: str, dpi: int) -> None:
    since = os.environ.pop("SOURCE_DATE_EPOCH", None)  # matplotlib refuses a wrong one even where it writes no date
    try:
        figure.savefig(target, format=suffix[1:], dpi=dpi, metadata=METADATA[suffix])
    finally:
        if since is not None:
            os.environ["SOURCE_DATE_EPOCH"] = since


def colours(count: int) -> list[str]:
    """Return the colours of so many compared outputs: the last, most important one in MAIN, the first in SECOND."""
    return [SECOND, *PALETTE[2:count], MAIN] if count > 1 else [MAIN]


def labels(names: Sequence[str], length: int = NAME) -> list[str]:
    """Return names for a legend: short, unique, and shown literally.

    The middle of a long name goes, because the ends tell runs apart. Characters that the font lacks become "?", and
    what matplotlib would take for mathematics or for a hidden label is escaped.
    """
    short = [_shortened(_drawable(" ".join(name.split())) or "(no name)", length) for name in names]
    unique = [f"{name} #{i + 1}" if short.count(name) > 1 else name for i, name in enumerate(short)]
    if len(set(unique)) < len(unique):  # a run is called "x #1"
        unique = [f"{name} ({i + 1})" for i, name in enumerate(unique)]
    return [name.replace("$", r"\$") if not name.startswith("_") else " " + name.replace("$", r"\$") for name in unique]


def drawn(name: str) -> str:
    """Return a name for a title: shown literally, without mathematics and control characters."""
    return _drawable(visible(name)).replace("$", r"\$")


def plain(label: str) -> str:
    """Return a label of `labels` as text, for a caption."""
    return label.strip().replace(r"\$", "$")


def _shortened(name: str, length: int) -> str:
    if len(name) <= length:
        return name
    kept = length - len(ELLIPSIS)
    return name[: kept // 2] + ELLIPSIS + name[len(name) - (kept - kept // 2) :]


def _drawable(name: str) -> str:
    with _importing_matplotlib():
        from matplotlib.font_manager import findfont, get_font
    font = get_font(findfont(RC["font.family"]))
    return "".join(c if font.get_char_index(ord(c)) else "?" for c in name)


def legend_below(figure: Any, handles: Sequence[Any], names: Sequence[str]) -> float:
    """Draw a legend under the axes, in as many columns as fit, and return its height [inches].

    The caller makes the figure that much higher, so that the axes keep their size.
    """
    fitting = _columns(names, figure.get_figwidth() - 0.1)
    rows = -(-len(names) // fitting)
    figure.legend(handles, list(names), loc="outside lower center", ncols=fitting)
    return rows * 9.6 * POINT + 0.08


def _columns(names: Sequence[str], width: float) -> int:
    """Return how many columns of names fit into a width [inches]."""
    for count in range(len(names), 1, -1):
        rows = -(-len(names) // count)
        columns = [names[i : i + rows] for i in range(0, len(names), rows)]
        if sum(max(map(len, column)) * 4.1 * POINT + 0.36 for column in columns) <= width:
            return len(columns)
    return 1
