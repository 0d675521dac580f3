"""`dpdrun apply`: send a waveform through a trained model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dpdrun.commands._completion import complete_run
from dpdrun.commands._options import (
    DataOption,
    FullScaleOption,
    PluginOption,
    SampleRateOption,
    argument,
    load_plugins,
    option,
    stated_rates,
)
from dpdrun.commands._output import say, say_findings
from dpdrun.errors import DataError

if TYPE_CHECKING:
    from dpdrun.data.capture import Capture
    from dpdrun.data.formats.waveform_reader import Waveform
    from dpdrun.data.formats.waveform_writer import Labels
    from dpdrun.evaluation.prediction import Samples
    from dpdrun.models._base import BehaviouralModel
    from dpdrun.plan.plan import Plan
    from dpdrun.run.folder import RunFolder

PARTS = ("train", "val", "test")
RATE_TOLERANCE = 1e-6
LABELLED = (".mat", ".wv", ".sigmf-meta")  # files that state their sample rate
LONG_SAMPLES = 1_000_000  # show a progress bar from here: a few seconds of work; the length of a CSV is not known


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("apply")(apply)


def apply(
    run: Annotated[Path, argument(metavar="RUN", help="A run folder.", autocompletion=complete_run)],
    source: Annotated[
        str,
        argument(
            metavar="IN",
            help="A waveform in any format (docs/data.md): MATLAB, text, NumPy, SigMF, .wv, raw .cf32 or .ci16 ...; or "
            "train, val, test: that split of the run's capture.",
        ),
    ],
    out: Annotated[
        Path,
        argument(
            metavar="OUT", help="File to write: .csv, .npy, .npz, .mat, .wv, .sigmf-meta, or raw .cf32 (float), .ci16."
        ),
    ],
    force: Annotated[bool, typer.Option("--force", help="Overwrite OUT.")] = False,
    data: DataOption = None,
    signal: Annotated[
        str | None, option("--input-signal", metavar="NAME", help="Which signal of IN, if it holds several.")
    ] = None,
    full_scale: FullScaleOption = None,
    sample_rate_hz: SampleRateOption = None,
    plugin: PluginOption = None,
) -> None:
    """Run the waveform IN through the model of a RUN and write the output, in the units of the run's capture.

    A PA model writes the predicted output of the amplifier, a predistorter the predistorted waveform.

    A CSV has the columns I,Q,I_out,Q_out, an .npz or .mat the arrays x and y; other files have the output alone.

    Raw is I, Q, I, Q ..., little-endian. Give a file named train, val or test as ./test.

    Text, NumPy and raw files of any length are streamed in bounded memory; OUT appears when it is complete
    (docs/export.md).
    """
    load_plugins(plugin, run)
    from dpdrun.data.checks import suggestion
    from dpdrun.data.formats.waveform import check_writable
    from dpdrun.data.formats.waveform_reader import open_waveform
    from dpdrun.data.formats.waveform_writer import Labels, check_labels
    from dpdrun.data.sources import captures_kept
    from dpdrun.evaluation.deployment import deployment_findings
    from dpdrun.evaluation.prediction import eval_frame, predict_stream
    from dpdrun.models._threads import torch_threads
    from dpdrun.plan.threads import threads_to_predict
    from dpdrun.training.job import load_run

    check_writable(out, force=force)
    stated_rates(sample_rate_hz=sample_rate_hz)
    if full_scale is not None and not 0 < full_scale < float("inf"):
        raise DataError(f"--full-scale must be a positive number, not {full_scale:g}")
    if data is not None and source not in PARTS:
        raise DataError(f"--data gives the location of the capture, but IN is {source}: omit it")
    if source not in PARTS and not Path(source).exists():
        hint = suggestion(source, PARTS)
        if hint:
            raise DataError(f"{source}: no such file or split of the capture{hint}")
    model, plan, folder = load_run(run)
    with torch_threads(threads_to_predict(plan)), captures_kept():  # rate and samples are of one reading
        rate = sample_rate_hz
        if rate is None and out.suffix.lower() in LABELLED:
            rate = _rate_of(folder, plan)
        check_labels(out, rate)
        labels = Labels(sample_rate_hz=rate, full_scale=full_scale)
        if source in PARTS:
            from dpdrun.plan.recorded import capture_of

            pairs = iter([_of_part(model, plan, source, capture_of(folder, plan, data))])
            _write(out, source, model, pairs, lambda: None, labels, None)
            return
        with open_waveform(Path(source), signal=signal) as waveform, _shown(waveform) as progress:
            stated, peak = waveform.sample_rate_hz, _training_peak(folder)
            if _is_resampled(plan, stated if sample_rate_hz is None else sample_rate_hz):
                _write_resampled(out, source, model, plan, waveform, progress, labels, peak)
                return
            if stated is not None:
                trained_at = rate or _rate_of(folder, plan)
                say_findings(deployment_findings(rate_hz=stated, trained_rate_hz=trained_at))
            pairs = predict_stream(model, waveform.pieces(), frame=eval_frame(plan))
            _write(out, source, model, pairs, progress, labels, peak)


def _is_resampled(plan: Plan, rate_hz: float | None) -> bool:
    """Whether the run's capture was resampled, and a waveform of this rate has to be: by default that of the source."""
    data = plan.recipe.data
    if isinstance(data.resample_to_hz, str) or isinstance(data.sample_rate_hz, str):
        return False
    return rate_hz is None or abs(rate_hz / data.sample_rate_hz - 1) <= RATE_TOLERANCE


def _write_resampled(
    out: Path,
    source: str,
    model: BehaviouralModel,
    plan: Plan,
    waveform: Waveform,
    progress: Callable[[], None],
    labels: Labels,
    peak: float | None,
) -> None:
    """Write the output for a waveform that is resampled to the rate of the model, and back to its own instants."""
    from dpdrun.evaluation.prediction import eval_frame
    from dpdrun.evaluation.resampled import ResampledPrediction

    record_hz, model_hz = float(plan.recipe.data.sample_rate_hz), float(plan.recipe.data.resample_to_hz)
    prediction = ResampledPrediction(model, record_hz, model_hz, frame=eval_frame(plan), name=source)
    labels = replace(labels, sample_rate_hz=record_hz)
    _write(out, source, model, prediction.pairs(waveform.pieces()), progress, labels, peak)
    say(f"resampled from {record_hz / 1e6:.6g} to the model's {model_hz / 1e6:.6g} MS/s, and its output back")
    if (lost_db := prediction.lost_db) is not None:
        say(
            f"warning: {lost_db:.1f} dB of the output's power are beyond the band of {record_hz / 1e6:.6g} MS/s and "
            "are lost; give the waveform at the rate of the model",
            err=True,
        )


def _rate_of(folder: RunFolder, plan: Plan) -> float | None:
    """Return the sample rate that a model works at [Hz]; None if neither run nor capture says it any more."""
    from dpdrun.plan.recorded import capture_of

    data = plan.recipe.data
    stated = data.sample_rate_hz if isinstance(data.resample_to_hz, str) else data.resample_to_hz
    if not isinstance(stated, str):
        return stated
    try:
        return capture_of(folder, plan).sample_rate_hz
    except DataError:
        return None


def _training_peak(folder: RunFolder) -> float | None:
    """Return the largest magnitude of the training input; None if the run is unfinished, or older than this figure."""
    if not folder.report.is_file():
        return None
    capture = folder.read_json(folder.report).get("capture")
    peak = capture.get("train_peak") if isinstance(capture, dict) else None
    return peak if isinstance(peak, float) else None


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
    labels: Labels,
    peak: float | None,
) -> None:
    """Write the chunks; warn if the waveform is outside of the training level, whose largest magnitude is `peak`."""
    import numpy as np

    from dpdrun.data.formats.waveform_writer import writing
    from dpdrun.evaluation.deployment import deployment_findings
    from dpdrun.rf.metrics import to_db

    count, energy, largest, beyond = 0, 0.0, 0.0, 0
    with writing(out, labels) as writer:
        for x, y in pairs:
            finite = np.isfinite(y)
            if not finite.all():
                raise DataError(
                    f"{source}: the model's output is not finite at sample {count + int(np.argmin(finite))}"
                )
            writer.append(x, y)
            count += len(x)
            energy += float(np.vdot(x, x).real)
            if peak:
                size = np.abs(x)
                largest, beyond = max(largest, float(size.max(initial=0.0))), beyond + int((size > peak).sum())
            progress()
    beyond_db = 2 * to_db(largest / peak) if peak and largest else None
    level_db = to_db(energy / count / float(model.scale_x) ** 2)
    say_findings(deployment_findings(level_db=level_db, beyond_db=beyond_db, beyond_share=beyond / count))
    remark = writer.remark()
    say(f"{out}: {count:,} samples{f'; {remark}' if remark else ''}")


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
