"""Results as objects: short in a console, a page in a notebook, plain values by `to_dict`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from dpdrun.errors import DataError
from dpdrun.evaluation.plot_data import PlotData
from dpdrun.plan import advise
from dpdrun.report.figures.style import Picture
from dpdrun.run.files import replacing
from dpdrun.run.scores import chosen


class Scores:
    """The scores of a run: the content of a report.json.

    Attributes:
        plots: the signals that were scored, where they were kept.
    """

    def __init__(self, report: Mapping[str, Any], plots: Sequence[PlotData] = ()) -> None:
        self._report, self.plots = dict(report), tuple(plots)

    @property
    def nmse_db(self) -> dict[str, float]:
        """NMSE by split [dB], with the past of the record where it is known: the basis of all choices."""
        return {split: float(chosen(scores)["nmse_db"]) for split, scores in self._report["splits"].items()}

    @property
    def gmp_nmse_db(self) -> dict[str, float]:
        """NMSE of a generalized memory polynomial by split [dB]: in its place, on the same samples."""
        gmp = self._report["baselines"]["gmp"]
        return {split: float(chosen(gmp[split])["nmse_db"]) for split in self._report["splits"]}

    @property
    def parameters(self) -> int:
        """Number of trained parameters."""
        return int(self._report["parameters"])

    def __getitem__(self, split: str) -> dict[str, Any]:
        """Return every score of a split (docs/scores.md), with the past of the record where it is known."""
        if split not in self._report["splits"]:
            raise DataError(f"{split!r}: this split was not scored; there is {', '.join(self._report['splits'])}")
        return dict(chosen(self._report["splits"][split]))

    def to_dict(self) -> dict[str, Any]:
        """Return the content of report.json."""
        return dict(self._report)

    def __repr__(self) -> str:
        report, gmp = self._report, self.gmp_nmse_db
        what = "predistorter" if report["task"] == "dpd" else "PA model"
        scores = "; ".join(f"{split} {value:.2f} dB (gmp {gmp[split]:.2f})" for split, value in self.nmse_db.items())
        return f"Scores({report['model']} {what}, {self.parameters:,} parameters, NMSE: {scores})"

    def _repr_html_(self) -> str:
        from dpdrun.report.notebook import COLUMNS, html_of
        from dpdrun.report.scores_panel import evaluation_panel

        return html_of(evaluation_panel(self._report, width=COLUMNS))


class Advice(advise.JobAdvice):
    """Recommended values, each with its rule and reason.

    Attributes:
        recipe: a recipe with all of them, for `train`; it has no `data` section where a capture was passed.
    """

    recipe: dict[str, Any]

    @property
    def values(self) -> dict[str, Any]:
        """The recommended values by dotted key."""
        return {key: value.value for key, value in self.recommendation.values.items()}

    def to_dict(self) -> dict[str, Any]:
        """Return what `dpdrun recommend --format json` prints."""
        return self.to_json()

    def __repr__(self) -> str:
        found = self.recommendation.warnings
        return f"Advice({len(self.values)} values for a {self.recommendation.facts.kind}, {len(found)} findings)"

    def _repr_html_(self) -> str:
        from dpdrun.report.advice import advice_view
        from dpdrun.report.notebook import html_of

        return html_of(advice_view(self))


def advice_of(found: advise.JobAdvice, recipe: dict[str, Any]) -> Advice:
    """Return advice as an object for Python."""
    this = Advice(**{each.name: getattr(found, each.name) for each in fields(found)})
    object.__setattr__(this, "recipe", recipe)
    return this


class Plot:
    """A finished figure: shown by notebooks, written by `save`."""

    def __init__(self, picture: Picture, title: str, caption: str) -> None:
        self._picture, self.title, self.caption = picture, title, caption

    def save(self, path: str | Path) -> Path:
        """Write the figure into a file, by its suffix .png (220 dpi) or .svg; returns the path. Raises DataError."""
        path = Path(path)
        content = {".png": self._picture.png, ".svg": self._picture.svg}.get(path.suffix.lower())
        if content is None:
            raise DataError(f"{path}: cannot draw {path.suffix or 'a file without a suffix'}; use .png or .svg")
        with replacing(path) as temporary:
            temporary.write_bytes(content)
        return path

    def __repr__(self) -> str:
        return f"Plot({self.title})"

    def _repr_png_(self) -> bytes:
        return self._picture.png
