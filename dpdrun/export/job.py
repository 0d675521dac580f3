"""Export a run: run folder -> temporary file -> verified -> kept."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dpdrun.data.checks import suggestion
from dpdrun.data.formats.waveform import check_writable
from dpdrun.errors import RunError
from dpdrun.export import FORMATS, npz, onnx, torchscript
from dpdrun.export.description import describe
from dpdrun.export.step import StepGraph
from dpdrun.export.verify import reference_outputs, require_equal, stream_step
from dpdrun.plan.recorded import capture_of
from dpdrun.run.files import replacing
from dpdrun.run.folder import RunFolder
from dpdrun.training.job import load_run


@dataclass(frozen=True)
class Exported:
    """A file that passed verification.

    Attributes:
        error: largest error of a sample of the test split, relative to the rms of the output.
        samples: of the test split.
        bytes: size of the file.
        inputs: names of the inputs of a step, in order.
    """

    path: Path
    error: float
    samples: int
    bytes: int
    inputs: list[str]


def export(
    run_dir: Path, to: str, out: Path | None = None, *, force: bool = False, data: str | None = None
) -> Exported:
    """Write a finished run to a file that runs without dpdrun, if its output equals that of the run.

    Args:
        to: one of FORMATS.
        out: file to write; by default `model.<format>` in the run folder.
        force: overwrite it.
        data: where the capture of the run is now; None = where it was, or near the run folder.

    Raises:
        RunError: no such run or format, an unfinished run, a model that cannot stream, a missing library, or a file
            whose output differs from the run's: nothing is written.
        DataError: `out` cannot be written, or the capture of the run cannot be read.
    """
    if to not in FORMATS:
        raise RunError(f"--to {to}: no such format{suggestion(to, FORMATS)}; there is {', '.join(FORMATS)}")
    folder = RunFolder.open(run_dir)
    if not folder.model.is_file():
        raise RunError(
            f"{run_dir}: this run is not finished (it has no {folder.model.name}); finish it first:\n"
            f"  {folder.resume_command}"
        )
    out = out or folder.path / f"model{FORMATS[to][0]}"
    check_writable(out, force=force, suffixes=FORMATS[to])
    if to == "onnx":
        onnx.require()
    model, plan, folder = load_run(run_dir)
    graph = StepGraph(model, plan.recipe.model.kind).eval()
    capture = capture_of(folder, plan, data)
    description = describe(graph, plan, capture, folder)
    x = capture.test.x
    with replacing(out) as temporary:
        if to == "npz":
            npz.write(temporary, graph, description, x)
            step = npz.load(temporary, description)
        else:
            format_ = onnx if to == "onnx" else torchscript
            format_.write(temporary, graph, description)
            step = format_.load(temporary, description)
        state = {name: tensor.numpy() for name, tensor in graph.state.items()}
        output = stream_step(step, state, x, description["lookahead"])
        error = require_equal(output, reference_outputs(model, x), str(out))
    return Exported(out, error, len(x), out.stat().st_size, [part["name"] for part in description["inputs"]])
