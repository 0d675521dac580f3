"""What `dpdrun diagnose` is asked about: a run, or a prediction and its target."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from dpdrun.diagnosis.diagnose import Diagnosis


def diagnose_run_or_files(
    run: Path | None, maps: Sequence[str], prediction: Path | None, target: Path | None, input_: Path | None
) -> tuple[Diagnosis, str]:
    """The diagnosis, and what it is called.

    Raises:
        typer.BadParameter: neither a run nor a pair of files, both, or half of a pair.
    """
    from dpdrun.diagnosis.diagnose import diagnose_any, diagnose_files

    if prediction is None and target is None and input_ is None:
        if run is None:
            raise typer.BadParameter("give a RUN, or --prediction and --target")
        return diagnose_any(run, maps), str(run)
    if run is not None or maps:
        extra = "a RUN" if run is not None else "--map"
        raise typer.BadParameter(f"{extra} and --prediction, --target, --input do not go together")
    if prediction is None or target is None:
        lacking = "--prediction" if prediction is None else "--target"
        raise typer.BadParameter(f"{lacking} is missing: a prediction is judged by its target")
    return diagnose_files(prediction, target, input_), f"{prediction} against {target}"
