"""A trained model as a file that others can run without dpdrun: `dpdrun export`.

What is exported is one step of a stream, (x, state...) -> (y, new state...): the state carries a record of any length
through in chunks of any length. One file a format; `verify` decides whether a file is kept.
"""

from __future__ import annotations

# By name, the ends that their files may have; the first is the default
FORMATS: dict[str, tuple[str, ...]] = {
    "onnx": (".onnx",),
    "torchscript": (".pt", ".ts", ".torchscript"),
    "npz": (".npz",),
}
