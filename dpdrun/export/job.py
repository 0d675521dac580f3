"""Export a run: run folder -> temporary file -> verified -> kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpdrun.data.formats.waveform import check_writable
from dpdrun.errors import RunError
from dpdrun.evaluation.deployment import deployment_findings, judge_facts, reset_facts
from dpdrun.export import FORMATS, fixed, mat, mem, npz, onnx, qonnx, require_format, torchscript
from dpdrun.export.c import compiler
from dpdrun.export.c import job as c
from dpdrun.export.description import describe
from dpdrun.export.step import StepGraph
from dpdrun.export.verify import reference_outputs, require_equal, stream_step
from dpdrun.plan.recorded import capture_of
from dpdrun.quantization import reference
from dpdrun.quantization.reference import Program, Weights
from dpdrun.rules.engine import Finding
from dpdrun.run.files import replacing
from dpdrun.run.folder import RunFolder
from dpdrun.training.job import load_run

# Writers of a program in fixed point, and readers of what they wrote; C is compiled and QONNX is run instead
INTEGERS: dict[str, tuple[Callable[..., None], Callable[[Path], tuple[Program, Weights]]]] = {
    "npz": (fixed.write, reference.load),
    "mat": (mat.write_fixed, mat.load_fixed),
    "mem": (mem.write, mem.load),
}


@dataclass(frozen=True)
class Exported:
    """An exported file.

    Attributes:
        error: on the test split, relative to the rms of the output: the largest error of a sample; of C files the rms
            error, or None if there is no compiler to verify them with.
        samples: of the test split.
        bytes: size of the file; of C files all of them together.
        inputs: names of the inputs of a step, in order.
        c: of C files the part `c` of their description: sizes and operations.
        fixed: of a file in fixed point, settings and cost (`fixed.FixedPoint`).
        findings: what to mind where the file is used (rules DP204, DP205).
    """

    path: Path
    error: float | None
    samples: int
    bytes: int
    inputs: list[str]
    c: dict[str, Any] | None = None
    fixed: fixed.FixedPoint | None = None
    findings: Sequence[Finding] = ()


def export(
    run_dir: Path,
    to: str,
    out: Path | None = None,
    *,
    force: bool = False,
    data: str | None = None,
    verify: bool = False,
    quantization: Sequence[str] | None = None,
    doing: Callable[[str], None] = lambda _: None,
) -> Exported:
    """Write a finished run to a file that runs without dpdrun, if its output equals that of the run.

    Args:
        to: one of FORMATS.
        out: file to write; by default `model.<format>` in the run folder.
        force: overwrite it.
        data: where the capture of the run is now; None = where it was, or near the run folder.
        verify: refuse to write C files where there is no compiler to verify them with.
        quantization: write the run in fixed point, with these changes of its quantization section, such as
            `weights=12`; None = in floating point.
        doing: called with what is being done.

    Raises:
        RunError: no such run or format, an unfinished run, a model that cannot stream, a missing library or compiler,
            or a file whose output differs from the run's: nothing is written.
        DataError: `out` cannot be written, or the capture of the run cannot be read.
    """
    require_format(to, fixed=quantization is not None)
    folder = RunFolder.open(run_dir)
    if not folder.model.is_file():
        raise RunError(
            f"{run_dir}: this run is not finished (it has no {folder.model.name}); finish it first:\n"
            f"  {folder.resume_command}"
        )
    suffix = "" if quantization is None else "_fixed" if to == "c" else "-fixed"  # functions are named after a C file
    out = out or folder.path / f"model{suffix}{FORMATS[to][0]}"
    check_writable(out, force=force, suffixes=FORMATS[to])
    if to in ("onnx", "qonnx"):
        onnx.require()
    using = None
    if to == "c":
        c.check(out, force=force)
        using = compiler.require() if verify else compiler.find()
    model, plan, folder = load_run(run_dir)
    settings = None if quantization is None else fixed.settings_of(plan, quantization)
    graph = StepGraph(model, plan.recipe.model.kind).eval()
    capture = capture_of(folder, plan, data)
    description, x = describe(graph, plan, capture, folder), capture.test.x
    if settings is not None:
        rounded = fixed.round_run(model, plan, capture, settings, doing)
        doing(f"verifying on {len(x):,} test samples")
        done = _export_fixed(out, to, rounded, description, x, using)
    elif to == "c":
        done = _export_c(out, graph, description, x, using)
    else:
        done = _export_step(out, to, graph, description, x)
    report = folder.read_json(folder.report) if folder.report.is_file() else {}
    facts = reset_facts(model, capture.val.x, report) | judge_facts(report)
    return replace(done, findings=deployment_findings(**facts))


def _export_step(
    out: Path, to: str, graph: StepGraph, description: dict[str, Any], x: NDArray[np.complex128]
) -> Exported:
    with replacing(out) as temporary:
        if to in ("npz", "mat"):
            arrays = npz if to == "npz" else mat
            arrays.write(temporary, graph, description, x)
            step = arrays.load(temporary, description)
        else:
            format_ = onnx if to == "onnx" else torchscript
            format_.write(temporary, graph, description)
            step = format_.load(temporary, description)
        state = {name: tensor.numpy() for name, tensor in graph.state.items()}
        output = stream_step(step, state, x, description["lookahead"])
        error = require_equal(output, reference_outputs(graph.model, x), str(out))
    return Exported(out, error, len(x), out.stat().st_size, [part["name"] for part in description["inputs"]])


def _export_c(
    out: Path,
    graph: StepGraph,
    description: dict[str, Any],
    x: NDArray[np.complex128],
    using: compiler.Compiler | None,
) -> Exported:
    files = c.generate(out.stem, graph, description, x)
    if using:
        files = c.verify(files, x, reference_outputs(graph.model, x), using)
    size = c.write(out, files)
    error = None if files.verified is None else files.verified["rms_error"]
    return Exported(out, error, len(x), size, [], files.facts)


def _export_fixed(
    out: Path,
    to: str,
    rounded: fixed.FixedPoint,
    description: dict[str, Any],
    x: NDArray[np.complex128],
    using: compiler.Compiler | None,
) -> Exported:
    if to == "c":
        return _export_fixed_c(out, rounded, description, x, using)
    with replacing(out) as temporary:
        if to == "qonnx":
            qonnx.write(temporary, rounded, description)
            step, samples = qonnx.load(temporary, rounded), qonnx.VERIFIED_SAMPLES
        else:
            write, load = INTEGERS[to]
            write(temporary, rounded, description, x)
            step, samples = partial(reference.step, *load(temporary)), fixed.VERIFIED_SAMPLES
        samples = fixed.require_equal(out, step, rounded, x, samples)
    return Exported(out, 0.0, samples, out.stat().st_size, ["x"], fixed=rounded)


def _export_fixed_c(
    out: Path,
    rounded: fixed.FixedPoint,
    description: dict[str, Any],
    x: NDArray[np.complex128],
    using: compiler.Compiler | None,
) -> Exported:
    files = c.generate_fixed(out.stem, rounded, description, x)
    words, expected = fixed.words_of(rounded, x)
    if using:
        files = c.verify_fixed(files, words, expected, using)
    size = c.write(out, files)
    error = None if files.verified is None else 0.0
    return Exported(out, error, len(words), size, [], files.facts, rounded)
