"""`dpdrun apply`: send a waveform through a trained model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("apply")(apply)


def apply(
    run: Annotated[Path, typer.Argument(help="A run folder.", show_default=False)],
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

    A CSV has the columns I,Q,I_out,Q_out; an .npz the arrays x and y. So others can check a score of ours.
    """
    from dpdrun.data.sources import load_capture
    from dpdrun.data.waveform import check_writable, read_waveform, write_pair
    from dpdrun.evaluation import predict
    from dpdrun.training import load_run

    check_writable(out, force=force)
    model, plan, _ = load_run(run)
    capture_parts = ("train", "val", "test")
    if source in capture_parts:
        x = load_capture(plan.recipe.data).parts[source].x
    else:
        x = read_waveform(Path(source))
    piece = plan.frame if plan.recipe.train.eval_on == "frame" else None
    write_pair(out, x, predict(model, x, piece=piece))
    typer.echo(f"{out}: {len(x):,} samples")
