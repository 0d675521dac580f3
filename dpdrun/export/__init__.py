"""Export a trained model to a file that runs without dpdrun: `dpdrun export`.

A file holds one step of a stream, (x, state...) -> (y, new state...), which takes a record of any length in chunks of
any length. One module for each format; `verify` decides whether a file is kept. Imports training and below.
"""

from __future__ import annotations

# File suffixes by format; the first is the default
FORMATS: dict[str, tuple[str, ...]] = {
    "onnx": (".onnx",),
    "torchscript": (".pt", ".ts", ".torchscript"),
    "npz": (".npz",),
    "c": (".c",),
    "mat": (".mat",),
    "mem": (".zip",),
}
