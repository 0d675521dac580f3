"""Write a fixed-point program as QONNX, for tools of FPGA flows: one sample, (x, past words) -> (y, new past words).

Every rounding is a node IntQuant (domain qonnx.custom_op.general) after half a word was added: FLOOR then rounds half
up, as `quantization.reference` does; HALF_UP of QONNX rounds -2.5 to -3. Sums are float64, exact up to 52 bits; float32
holds 24. The file defines IntQuant by standard operations as well, so onnxruntime runs it without the package qonnx.
docs/fixed-point.md describes it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpdrun.errors import RunError
from dpdrun.export.fixed import FixedPoint, Step
from dpdrun.export.step import NEXT
from dpdrun.quantization.integers import ROOMY
from dpdrun.quantization.reference import State

FORMAT = "dpdrun-qonnx-1"
EXACT_BITS = 52  # of a sum in float64, half a word included
VERIFIED_SAMPLES = 2**13  # onnxruntime takes half a millisecond for each
PAST = ".past"  # suffix of the words of a tensor that a stream keeps
STREAMING = (
    "One sample a call. The past words of a new record are zeros, oldest first; pass every output *_next to the next "
    "call as the input of that name. Output n of the stream belongs to input n - lookahead."
)


def require_exact(fixed: FixedPoint) -> None:
    """Raise RunError for a program with sums that float64 does not hold."""
    wide = [each["out"] for each in fixed.program["steps"]
            if each["op"] not in ROOMY and each["accumulator_bits"] > EXACT_BITS]  # fmt: skip
    if wide:
        raise RunError(
            f"--to qonnx computes in float64, which holds sums of {EXACT_BITS} bits, and {', '.join(wide[:4])} can "
            f"need more; set quantization.accumulator to {EXACT_BITS} or less, or use --to c or npz"
        )


def write(path: Path, fixed: FixedPoint, description: dict[str, Any]) -> None:
    """Write one step of a program, its description as metadata. Raises RunError as `require_exact`."""
    import onnx

    from dpdrun.export.qonnx_graph import step_of

    require_exact(fixed)
    program = fixed.program
    content = {
        **{key: value for key, value in description.items() if key not in ("inputs", "outputs", "streaming")},
        "format": FORMAT,
        "streaming": STREAMING,
        "input": program["input"],
        "output": program["output"],
        "quantization": fixed.settings.model_dump(mode="json"),
        "report": fixed.report,
    }
    metadata = {key: value if isinstance(value, str) else json.dumps(value) for key, value in content.items()}
    onnx.save(step_of(program, fixed.weights, metadata), path)


def load(path: Path, fixed: FixedPoint) -> Step:
    """Return the step of such a file, run by onnxruntime, between words: as `reference.step` of its program."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    program = fixed.program
    ends = [2.0 ** program[port]["fraction"] for port in ("input", "output")]
    scales = {
        name: np.exp2(np.asarray(program["tensors"][name]["fraction"], np.float64)) for name in program["history"]
    }

    def step(words: NDArray[np.int64], state: State) -> tuple[NDArray[np.int64], State]:
        past = {f"{name}{PAST}": state[name] / scale for name, scale in scales.items()}
        outputs = []
        for pair in words / ends[0]:
            y, *after = session.run(None, {"x": pair[None], **past})
            past = dict(zip(past, after, strict=True))
            outputs.append(y[0] * ends[1])
        kept = {name: (past[f"{name}{PAST}"] * scale).astype(np.int64) for name, scale in scales.items()}
        return np.asarray(outputs).astype(np.int64), kept

    names = [each.name for each in session.get_outputs()[1:]]
    assert names == [f"{name}{PAST}{NEXT}" for name in scales]
    return step
