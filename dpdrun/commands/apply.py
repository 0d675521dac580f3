"""`dpdrun apply`: send a waveform through a trained model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dpdrun.errors import DataError

if TYPE_CHECKING:
    from dpdrun.data.formats.waveform_reader import Waveform
    from dpdrun.evaluation.prediction import Samples
    from dpdrun.models._base import BehaviouralModel
    from dpdrun.plan.plan import Plan

PARTS = ("train", "val", "test")
LEVEL_DB = 1.0  # a waveform louder by more than this than the training input has peaks that the model never saw
LONG_SAMPLES = 1_000_000  # from which a progress bar is shown: a few seconds of work; a CSV does not say how long it is


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("apply")(apply)


def apply(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.", show_default=False)],
    source: Annotated[
        str,
        typer.Argument(
            metavar="IN",
            help="A waveform (.csv with I,Q columns, .npy, .npz, or raw complex64: .cf32, .fc32, .c64, .cfile, .iq), "
            "or train, val, test: that part of the run's capture.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path,
        typer.Argument(
            metavar="OUT", help="File to write: .csv, .npy, .npz, or raw complex64 (.cf32 ...).", show_default=False
        ),
    ],
    force: Annotated[bool, typer.Option("--force", help="Overwrite OUT.")] = False,
) -> None:
    """Write what the model of a RUN makes of the waveform IN, in the units of its capture.

    That is the output of the amplifier as a PA model predicts it, or the waveform of a predistorter.

    A CSV has the columns I,Q,I_out,Q_out; an .npz the arrays x and y; .npy and raw the output alone.

    Raw is float32 I, Q, I, Q ..., little-endian. A file that is named train, val or test is written ./test.

    Records of any length go through in bounded memory, and OUT appears when it is whole (docs/export.md).
    """
    from dpdrun.data.checks import suggestion
    from dpdrun.data.formats.waveform import check_writable
    from dpdrun.data.formats.waveform_reader import open_waveform
    from dpdrun.evaluation.prediction import eval_frame, predict_stream
    from dpdrun.training.job import load_run

    check_writable(out, force=force)
    if source not in PARTS and not Path(source).exists():
        hint = suggestion(source, PARTS)
        if hint:
            raise DataError(f"{source}: no such file, nor a part of the capture{hint}")
    model, plan, _ = load_run(run)
    if source in PARTS:
        _write(out, source, model, iter([_of_part(model, plan, source)]), lambda: None)
        return
    with open_waveform(Path(source)) as waveform, _shown(waveform) as progress:
        pairs = predict_stream(model, waveform.pieces(), frame=eval_frame(plan))
        _write(out, source, model, pairs, progress)


def _of_part(model: BehaviouralModel, plan: Plan, part: str) -> tuple[Samples, Samples]:
    """Input and output of a part of the capture, as it is scored."""
    from dpdrun.data.sources import load_capture
    from dpdrun.evaluation.prediction import eval_frame, predict

    capture = load_capture(plan.recipe.data)
    x = capture.parts[part].x
    return x, predict(model, x, frame=eval_frame(plan), loop=capture.loop_samples)


def _write(
    out: Path,
    source: str,
    model: BehaviouralModel,
    pairs: Iterator[tuple[Samples, Samples]],
    progress: Callable[[], None],
) -> None:
    """Write the pieces, and say what is remarkable about them."""
    import numpy as np

    from dpdrun.data.formats.waveform_writer import writing
    from dpdrun.rf.metrics import to_db

    count, energy = 0, 0.0
    with writing(out) as writer:
        for x, y in pairs:
            finite = np.isfinite(y)
            if not finite.all():
                raise DataError(
                    f"{source}: the model's output is not finite at sample {count + int(np.argmin(finite))}"
                )
            writer.append(x, y)
            count += len(x)
            energy += float(np.vdot(x, x).real)
            progress()
    level_db = to_db(energy / count / float(model.scale_x) ** 2)
    if level_db > LEVEL_DB:
        typer.echo(
            f"warning: the waveform is {level_db:.1f} dB louder than the training input: it was not trained there",
            err=True,
        )
    typer.echo(f"{out}: {count:,} samples")


@contextmanager
def _shown(waveform: Waveform) -> Iterator[Callable[[], None]]:
    """A bar for a long record; call what is yielded after each piece."""
    from rich.console import Console

    from dpdrun.report.measured import progress_bar

    if waveform.samples is not None and waveform.samples < LONG_SAMPLES:
        yield lambda: None
        return
    with progress_bar(Console(stderr=True), "apply") as bar:
        yield lambda: bar(waveform.done, "")
