"""Write weights, description and a golden vector to a MATLAB file (v5); docs/export.md describes it.

A gmp comes with the coefficient matrix of MATLAB's comm.DPD, in the units of the capture.
"""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from dpdrun.data.formats.waveform_writer import MAT_HEADER
from dpdrun.errors import RunError
from dpdrun.export import npz, numpy_reference
from dpdrun.export.fixed import FixedPoint
from dpdrun.export.step import StepGraph, frequencies
from dpdrun.export.verify import Step, reference_outputs
from dpdrun.quantization import reference
from dpdrun.quantization.reference import Program, Weights

FORMAT = "dpdrun-mat-1"


def write(path: Path, graph: StepGraph, description: dict[str, Any], x: NDArray[np.complex128]) -> None:
    """Write a model in float32.

    Args:
        x: input of the golden vector, (N,); the first `npz.GOLDEN_SAMPLES` are used.

    Raises:
        RunError: there is no reference implementation of the kind.
    """
    kind = description["kind"]
    if kind not in npz.KINDS:
        raise RunError(
            f"mat has no reference for model.kind {kind}, only for {', '.join(npz.KINDS)}; use --to torchscript"
        )
    weights = {n: t.numpy() for n, t in graph.inner.state_dict().items() if n not in ("scale_x", "scale_y")}
    if "position" in graph.state:
        weights["frequencies"] = frequencies(description["config"]["d_model"])
    golden = x[: npz.GOLDEN_SAMPLES].astype(np.complex64)
    expected = reference_outputs(graph.model, golden.astype(np.complex128))[1]
    shapes = {name: list(value.shape) for name, value in weights.items()}  # MATLAB drops axes of length 1 at the end
    how = {"all": npz.HOW["all"], kind: npz.HOW[kind]}
    content: dict[str, Any] = {
        **_common(description | {"weights": shapes, "how": how}, weights),
        "golden": {"x": golden[:, None], "y": expected[:, None]},
    }
    if kind == "gmp" and (matrix := comm_dpd(description, weights)) is not None:
        content["comm_dpd"] = matrix
    _save(path, content)


def write_fixed(path: Path, fixed: FixedPoint, description: dict[str, Any], x: NDArray[np.complex128]) -> None:
    """Write a model in fixed point: integers, and the program (docs/fixed-point.md) as JSON text."""
    words = reference.to_words(fixed.program, x[: npz.GOLDEN_SAMPLES])
    y, _ = reference.step(fixed.program, fixed.weights, words, reference.initial_state(fixed.program))
    content = description | {"quantization": fixed.settings.model_dump(mode="json"), "report": fixed.report}
    _save(
        path,
        {
            **_common(content, {name: values.astype(np.int64) for name, values in fixed.weights.items()}),
            "program": json.dumps(fixed.program),
            "golden": {"x": words.astype(np.int32), "y": y.astype(np.int32)},
        },
    )


def _common(description: dict[str, Any], weights: dict[str, NDArray[Any]]) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "description": json.dumps(description),
        "weights": {field(name): value for name, value in weights.items()},
    }


def field(name: str) -> str:
    """Return a name as a field of a MATLAB struct: letters, digits and _."""
    return re.sub(r"\W", "_", name)


def _save(path: Path, content: dict[str, Any]) -> None:
    from scipy.io import savemat

    with path.open("wb") as handle:
        savemat(cast("Any", handle), content, long_field_names=True, oned_as="column")  # names of 63 letters, not 31
        handle.seek(0)
        handle.write(MAT_HEADER.ljust(116))  # scipy writes the time there; equal models are to be equal files


def read(path: Path) -> dict[str, Any]:
    """Return the variables of such a file; structs are dicts."""
    from scipy.io import loadmat

    found: dict[str, Any] = loadmat(str(path), simplify_cells=True, appendmat=False)
    return found


def load(path: Path, description: dict[str, Any]) -> Step:  # noqa: ARG001
    """Return the step of such a file, computed by `numpy_reference`."""
    content = read(path)
    said = json.loads(content["description"])
    weights = {
        name: np.asarray(content["weights"][field(name)], np.float64).reshape(shape)
        for name, shape in said["weights"].items()
    }

    def step(x: Any, state: Any) -> Any:
        y, after = numpy_reference.step(said, weights, np.asarray(x[0], np.float64), state)
        return y[None], after

    return step


def load_fixed(path: Path) -> tuple[Program, Weights]:
    """Return program and weights of a file in fixed point."""
    content = read(path)
    program = json.loads(content["program"])
    return program, {
        name: np.asarray(content["weights"][field(name)], np.int64).reshape(each["shape"])
        for name, each in program["weights"].items()
    }


def comm_dpd(description: dict[str, Any], weights: dict[str, NDArray[Any]]) -> dict[str, Any] | None:
    """Return properties of MATLAB's comm.DPD for a gmp, or None if it has terms that comm.DPD lacks.

    Row m of `Coefficients` multiplies x(n - m), m from 0. Memory polynomial: column p multiplies |x(n - m)|^p. With
    cross terms: column 0 multiplies 1, column 1 + (p - 1) M + l multiplies |x(n - l)|^p, M rows, l from 0 (the order of
    MathWorks' example of power amplifier characterization). Leading envelopes delay the output by `Latency` samples.
    """
    config = description["config"]
    if "conjugated" in weights or "constant" in weights:
        return None
    K, P, cross = config["delays"], config["order"], config["cross"]
    unit = [
        description["scale_y"] / description["scale_x"] ** (p + 1) / math.sqrt(math.factorial(p + 1)) for p in range(P)
    ]

    def complex_of(name: str) -> NDArray[np.complex128]:
        pairs = np.asarray(weights[name], np.float64)
        return np.asarray(pairs[..., 0] + 1j * pairs[..., 1])

    aligned = complex_of("aligned") * np.array(unit)[:, None]  # (P, K)
    if not cross or P == 1:
        return {"PolynomialType": "Memory polynomial", "Coefficients": aligned.T, "Latency": 0}
    M = K + 2 * cross
    matrix = np.zeros((M, M * (P - 1) + 1), complex)
    rows = cross + np.arange(K)
    matrix[rows, 0] = aligned[0]
    parts = dict(zip([m for m in range(-cross, cross + 1) if m], complex_of("crossed"), strict=True))
    for m in range(-cross, cross + 1):
        for p in range(1, P):
            matrix[rows, 1 + (p - 1) * M + rows + m] = aligned[p] if m == 0 else parts[m][p - 1] * unit[p]
    return {"PolynomialType": "Cross-term memory polynomial", "Coefficients": matrix, "Latency": cross}
