"""`dpdrun apply`: send a waveform through a trained model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dpdrun.commands._options import DataOption, argument
from dpdrun.commands._output import say
from dpdrun.errors import DataError

if TYPE_CHECKING:
    from dpdrun.data.capture import Capture
    from dpdrun.data.formats.waveform_reader import Waveform
    from dpdrun.evaluation.prediction import Samples
    from dpdrun.models._base import BehaviouralModel
    from dpdrun.plan.plan import Plan

PARTS = ("train", "val", "test")
LEVEL_DB = 1.0  # at this much more power than the training input, a waveform has peaks that the model never saw
LONG_SAMPLES = 1_000_000  # show a progress bar from here: a few seconds of work; the length of a CSV is not known


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("apply")(apply)


def apply(
    run: Annotated[Path, argument(metavar="RUN", help="A run folder.")],
    source: Annotated[
        str,
        argument(
            metavar="IN",
            help="A waveform (.csv with columns I,Q, .npy, .npz, or raw complex64: .cf32, .fc32, .c64, .cfile, .iq), "
            "or train, val, test: that split of the run's capture.",
        ),
    ],
    out: Annotated[
        Path, argument(metavar="OUT", help="File to write: .csv, .npy, .npz, or raw complex64 (.cf32 ...).")
    ],
    force: Annotated[bool, typer.Option("--force", help="Overwrite OUT.")] = False,
    data: DataOption = None,
) -> None:
    """Run the waveform IN through the model of a RUN and write the output, in the units of the run's capture.

    A PA model writes the predicted output of the amplifier, a predistorter the predistorted waveform.

    A CSV has the columns I,Q,I_out,Q_out, an .npz the arrays x and y; .npy and raw files have the output alone.

    Raw is float32 I, Q, I, Q ..., little-endian. Give a file named train, val or test as ./test.

    Records of any length are streamed in bounded memory; OUT appears when it is complete (docs/export.md).
    """
    from dpdrun.data.checks import suggestion
    from dpdrun.data.formats.waveform import check_writable
    from dpdrun.data.formats.waveform_reader import open_waveform
    from dpdrun.evaluation.prediction import eval_frame, predict_stream
    from dpdrun.training.job import load_run

    check_writable(out, force=force)
    if data is not None and source not in PARTS:
        raise DataError(f"--data gives the location of the capture, but IN is {source}: omit it")
    if source not in PARTS and not Path(source).exists():
        hint = suggestion(source, PARTS)
        if hint:
            raise DataError(f"{source}: no such file or split of the capture{hint}")
    model, plan, folder = load_run(run)
    if source in PARTS:
        from dpdrun.plan.recorded import capture_of

        _write(out, source, model, iter([_of_part(model, plan, source, capture_of(folder, plan, data))]), lambda: None)
        return
    with open_waveform(Path(source)) as waveform, _shown(waveform) as progress:
        pairs = predict_stream(model, waveform.pieces(), frame=eval_frame(plan))
        _write(out, source, model, pairs, progress)


def _of_part(model: BehaviouralModel, plan: Plan, part: str, capture: Capture) -> tuple[Samples, Samples]:
    """Return input and output of a split of the capture, as it is scored."""
    from dpdrun.evaluation.prediction import eval_frame, predict

    x = capture.parts[part].x
    return x, predict(model, x, frame=eval_frame(plan), loop=capture.loop_samples)


def _write(
    out: Path,
    source: str,
    model: BehaviouralModel,
    pairs: Iterator[tuple[Samples, Samples]],
    progress: Callable[[], None],
) -> None:
    """Write the chunks; warn if the waveform is outside of the training level."""
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
        say(
            f"warning: the waveform has {level_db:.1f} dB more power than the training input: the model was not "
            "trained at this level",
            err=True,
        )
    say(f"{out}: {count:,} samples")


@contextmanager
def _shown(waveform: Waveform) -> Iterator[Callable[[], None]]:
    """Show a progress bar for a long record; call what is yielded after each chunk."""
    from dpdrun.report.layout import progress_bar
    from dpdrun.report.terminal import Terminal

    if waveform.samples is not None and waveform.samples < LONG_SAMPLES:
        yield lambda: None
        return
    with progress_bar(Terminal(stderr=True), "apply") as bar:
        yield lambda: bar(waveform.done, "")
