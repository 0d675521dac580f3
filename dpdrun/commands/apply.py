"""`dpdrun apply`: send a waveform through a trained model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dpdrun.errors import DataError

PARTS = ("train", "val", "test")
LEVEL_DB = 1.0  # a waveform louder by more than this than the training input has peaks that the model never saw


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("apply")(apply)


def apply(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.", show_default=False)],
    source: Annotated[
        str,
        typer.Argument(
            metavar="IN",
            help="A waveform (.csv with I,Q columns, .npy, .npz), or train, val, test: that part of the run's capture.",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="File to write: .csv, .npy or .npz.", show_default=False)],
    force: Annotated[bool, typer.Option("--force", help="Overwrite OUT.")] = False,
) -> None:
    """Write the output that the model of a RUN predicts for the waveform IN, in the units of its capture.

    A CSV has the columns I,Q,I_out,Q_out; an .npz the arrays x and y; a .npy the output alone. So others can check a
    score of ours. A file named train, val or test is written ./test.
    """
    import numpy as np

    from dpdrun.data.checks import suggestion
    from dpdrun.data.sources import load_capture
    from dpdrun.data.waveform import check_writable, read_waveform, write_pair
    from dpdrun.evaluation import piece_of, predict
    from dpdrun.rf.metrics import rms, to_db
    from dpdrun.training import load_run

    check_writable(out, force=force)
    if source not in PARTS and not Path(source).exists():
        hint = suggestion(source, PARTS)
        if hint:
            raise DataError(f"{source}: no such file, nor a part of the capture{hint}")
    model, plan, _ = load_run(run)
    if source in PARTS:
        capture = load_capture(plan.recipe.data)
        x, loop = capture.parts[source].x, capture.loop_samples
    else:
        x, loop = read_waveform(Path(source)), None
    level_db = to_db((rms(x) / float(model.scale_x)) ** 2)
    if level_db > LEVEL_DB:
        typer.echo(
            f"warning: the waveform is {level_db:.1f} dB louder than the training input: it was not trained there",
            err=True,
        )
    y = predict(model, x, piece=piece_of(plan), loop=loop)
    if not np.isfinite(y).all():
        raise DataError(f"{source}: the model's output is not finite at sample {int(np.argmin(np.isfinite(y)))}")
    write_pair(out, x, y)
    typer.echo(f"{out}: {len(x):,} samples")
