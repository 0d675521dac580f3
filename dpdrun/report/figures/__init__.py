"""Figures of a comparison, for a paper: files, their curves as CSV, and one self-contained HTML page."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from dpdrun.errors import DataError
from dpdrun.evaluation.plot_data import PlotData
from dpdrun.report.figures.carriers import draw_carriers
from dpdrun.report.figures.ccdf import draw_ccdf
from dpdrun.report.figures.constellation import draw_constellation
from dpdrun.report.figures.error import draw_error
from dpdrun.report.figures.gain import draw_gain
from dpdrun.report.figures.page import Drawn, FigureSection, Missing, Table, report_page
from dpdrun.report.figures.psd import draw_psd
from dpdrun.report.figures.style import NothingToDrawError, Picture, paper_style, picture
from dpdrun.report.figures.training import draw_training
from dpdrun.report.figures.view import View, view_of
from dpdrun.report.figures.waveform import draw_waveform
from dpdrun.run.files import make_folder, replacing, write_text
from dpdrun.run.metrics import Metrics

PAGE = "report.html"

FIGURES: dict[str, tuple[str, Callable[[View], tuple[Any, str]]]] = {
    "psd": ("Power spectral density", draw_psd),
    "gain": ("AM/AM and AM/PM", draw_gain),
    "constellation": ("Constellation", draw_constellation),
    "error": ("Error against position", draw_error),
    "carriers": ("ACLR and EVM by carrier", draw_carriers),
    "ccdf": ("CCDF of the power", draw_ccdf),
    "waveform": ("I and Q over time", draw_waveform),
}


def save_report(
    folder: Path,
    *,
    title: str,
    scenes: Sequence[PlotData],
    training: Mapping[str, Metrics],
    facts: Sequence[tuple[str, str]],
    tables: Sequence[Table],
    summary: str = "",
    suffix: str = ".png",
) -> list[Path]:
    """Write the figures, their curves as CSV, and `report.html`, which holds them all; returns what was written.

    The files are `psd-SPLIT.png` and the like, by the names in `FIGURES`, of each scene, with the capture's name before
    the split where two scenes have the same, and `training.png`; beside each the CSV with the same name. A figure that
    cannot be drawn is left out, and the page says why; so are all of them without matplotlib. All is drawn before the
    first file is written; each file appears whole.

    Args:
        folder: made where it does not exist.
        title: of the page.
        scenes: what is drawn, a part of a capture each.
        training: metrics of runs by name; a least-squares fit has none and is left out.
        facts: name and value, on top of the page.
        tables: caption, header, rows.
        summary: the result in a sentence, below the title.
        suffix: format of the figures, of `PLOT_SUFFIXES`.

    Raises:
        RunError: the folder or a file in it cannot be written.
    """
    try:
        sections = _sections(scenes, training, suffix)
    except DataError as error:  # no matplotlib
        sections = [FigureSection("Figures", "", [Missing("Figures", str(error))])]
    page = report_page(title, facts, tables, sections, summary=summary, suffix=suffix)
    pictures = [each for section in sections for each in section.figures if isinstance(each, Drawn)]
    make_folder(folder)
    written = []
    for each in pictures:
        for ending, content in ((suffix, each.picture.file(suffix)), (".csv", each.picture.curves.encode())):
            if not content:
                continue
            path = folder / f"{each.stem}{ending}"
            with replacing(path) as temporary:
                temporary.write_bytes(content)
            written.append(path)
    write_text(folder / PAGE, page)
    return [*written, folder / PAGE]


def _sections(scenes: Sequence[PlotData], training: Mapping[str, Metrics], suffix: str) -> list[FigureSection]:
    with paper_style():
        sections = [_scene(scene, ending, suffix) for scene, ending in zip(scenes, _endings(scenes), strict=True)]
        if training:
            drawn = _drawn("Training curves", "training", lambda: draw_training(training, _colours(scenes)), suffix)
            sections.append(FigureSection("Training", "", [drawn]))
    return sections


def draw(kind: str, scene: PlotData) -> tuple[Picture, str, str]:
    """Draw one figure of `FIGURES`; return it with title and caption. Raises DataError where it cannot be drawn."""
    title, draw_view = FIGURES[kind]
    return _single(f"{title}, {scene.capture}, {scene.split}", lambda: draw_view(view_of(scene)))


def draw_curves(training: Mapping[str, Metrics]) -> tuple[Picture, str, str]:
    """Draw the training curves of runs by name; return the figure with title and caption. Raises DataError."""
    return _single("Training curves", lambda: draw_training(training))


def _single(title: str, draw_it: Callable[[], tuple[Any, str]]) -> tuple[Picture, str, str]:
    with paper_style():
        try:
            figure, caption = draw_it()
        except NothingToDrawError as error:
            raise DataError(f"{title}: cannot be drawn: {error}") from None
        return picture(figure), title, caption


def _scene(scene: PlotData, ending: str, suffix: str) -> FigureSection:
    heading, text = f"{scene.capture}, {scene.split}", _described(scene)
    try:
        view = view_of(scene)
    except NothingToDrawError as error:
        return FigureSection(heading, text, [Missing("Figures", str(error))])
    figures: list[Drawn | Missing] = []
    for stem, (title, draw) in FIGURES.items():
        figures.append(_drawn(title, f"{stem}-{ending}", lambda draw=draw: draw(view), suffix))  # type: ignore[misc]
    return FigureSection(heading, text, figures, view.notes)


def _colours(scenes: Sequence[PlotData]) -> dict[str, str]:
    """Return the colours of the traces of all scenes by name: a run has the same one in every figure."""
    found: dict[str, str] = {}
    for scene in scenes:
        with suppress(NothingToDrawError):
            view = view_of(scene)
            found |= {trace.name: colour for trace, colour in zip(view.traces, view.colours, strict=True)}
    return found


def _drawn(title: str, stem: str, draw: Callable[[], tuple[Any, str]], suffix: str) -> Drawn | Missing:
    try:
        figure, caption = draw()
    except NothingToDrawError as error:
        return Missing(title, str(error))
    return Drawn(title, stem, picture(figure, suffix), caption)


def _described(scene: PlotData) -> str:
    """Return what the figures of a scene show, in a sentence."""
    bandwidth = "bandwidth not stated"
    if scene.bandwidth_hz:
        carriers = f" in {scene.carriers} carriers" if scene.carriers and scene.carriers > 1 else ""
        bandwidth = f"{scene.bandwidth_hz / 1e6:g} MHz{carriers}"
    what = "outputs of a PA model, not of a device" if scene.simulated else "measured amplifier"
    return f"{len(scene.x):,} samples at {scene.sample_rate_hz / 1e6:g} MS/s, {bandwidth}; {what}."


def _endings(scenes: Sequence[PlotData]) -> list[str]:
    """Return how the file names of each scene end: its split, plus the capture or a number where needed."""
    splits = [_slug(scene.split) for scene in scenes]
    full = [f"{_slug(scene.capture)}-{split}" for scene, split in zip(scenes, splits, strict=True)]
    taken: list[str] = []
    for split, both in zip(splits, full, strict=True):
        name = split if splits.count(split) == 1 else both
        taken.append(name if name not in taken else f"{name}-{len(taken) + 1}")
    return taken


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:60] or "part"
