"""`diagnose` from Python; it loads neither torch nor SciPy."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from dpdrun.diagnosis import diagnose as diagnosing
from dpdrun.diagnosis.diagnose import diagnose_any


class Diagnosis(diagnosing.Diagnosis):
    """The findings about a run, worst first, and its verdict."""

    def to_dict(self) -> dict[str, Any]:
        """Return the content of findings.json."""
        return self.to_json()

    def __repr__(self) -> str:
        codes = ", ".join(f"{finding.severity} {finding.code}" for finding in self.findings)
        return f"Diagnosis({self.verdict}{': ' if codes else ''}{codes})"

    def _repr_html_(self) -> str:
        from dpdrun.report.diagnosis import diagnosis_view
        from dpdrun.report.notebook import html_of

        return html_of(diagnosis_view(self, str(getattr(self, "_title", "run"))))


def diagnosis_of(found: diagnosing.Diagnosis, title: str) -> Diagnosis:
    """Return a diagnosis as an object for Python; the title is that of its page."""
    this = Diagnosis(**{each.name: getattr(found, each.name) for each in fields(found)})
    object.__setattr__(this, "_title", title)
    return this


def diagnose(run: str | os.PathLike[str], maps: Sequence[str] = ()) -> Diagnosis:
    """Diagnose a run, finished or not, or another program's training log.

    Args:
        run: a run, its folder, or the path of a log or of a folder with one (docs/diagnose.md).
        maps: columns of a log, as `loss=ce_loss`.

    Raises:
        RunError, DataError: it is neither, or cannot be read.
    """
    path = Path(run)
    return diagnosis_of(diagnose_any(path, maps), str(path))
