"""Export a trained model to a file that runs without dpdrun: `dpdrun export`.

A file holds one step of a stream, (x, state...) -> (y, new state...), which takes a record of any length in chunks of
any length. One module for each format; `verify` decides whether a file is kept. Imports training and below.
"""

from __future__ import annotations

from dpdrun.data.checks import suggestion
from dpdrun.errors import RunError

# File suffixes by format; the first is the default
FORMATS: dict[str, tuple[str, ...]] = {
    "onnx": (".onnx",),
    "torchscript": (".pt", ".ts", ".torchscript"),
    "npz": (".npz",),
    "c": (".c",),
    "mat": (".mat",),
    "mem": (".zip",),
    "qonnx": (".onnx",),
}
INTEGER_FORMATS = ("npz", "c", "mat", "mem", "qonnx")  # that have a fixed-point form
INTEGERS_ALONE = ("mem", "qonnx")


def require_format(to: str, *, fixed: bool) -> None:
    """Raise RunError unless there is a format of this name, in integers if `fixed`, in floating point if not."""
    if to not in FORMATS:
        raise RunError(f"--to {to}: no such format{suggestion(to, FORMATS)}; there is {', '.join(FORMATS)}")
    if fixed and to not in INTEGER_FORMATS:
        raise RunError(
            f"--to {to} holds floating-point models alone; in fixed point there is {', '.join(INTEGER_FORMATS)}"
        )
    if not fixed and to in INTEGERS_ALONE:
        raise RunError(f"--to {to} holds integers: give --fixed")
