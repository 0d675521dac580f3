"""Write the integers of a fixed-point model as memory files for $readmemh, in one .zip (docs/fixed-point.md).

manifest.json        origin, program, and for each file: tensor, shape, bits, digits, sha256
weights/<name>.mem   a two's-complement hexadecimal word a line, in row-major order
golden/x.mem, y.mem  I and Q of the golden vector, alternating
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpdrun.export.fixed import GOLDEN_SAMPLES, FixedPoint
from dpdrun.quantization import reference
from dpdrun.quantization.reference import Program, Weights

FORMAT = "dpdrun-mem-1"
EPOCH = (1980, 1, 1, 0, 0, 0)  # of every member: equal models are equal files


def write(path: Path, fixed: FixedPoint, description: dict[str, Any], x: NDArray[np.complex128]) -> None:
    """Write weights, program and a golden vector; the arguments as those of `fixed.write`."""
    program = fixed.program
    words = reference.to_words(program, x[:GOLDEN_SAMPLES])
    y, _ = reference.step(program, fixed.weights, words, reference.initial_state(program))
    tensors = [(f"weights/{name}.mem", name, values, program["weights"][name]["bits"])
               for name, values in fixed.weights.items()]  # fmt: skip
    tensors += [
        ("golden/x.mem", "x", words, program["input"]["bits"]),
        ("golden/y.mem", "y", y, program["output"]["bits"]),
    ]
    files = []
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, tensor, values, bits in tensors:
            text = to_hex(values, bits)
            files.append({
                "file": name, "tensor": tensor, "shape": list(values.shape), "bits": bits, "digits": -(-bits // 4),
                "sha256": hashlib.sha256(text.encode()).hexdigest(),
            })  # fmt: skip
            _add(archive, name, text)
        manifest = {
            "format": FORMAT,
            "files": files,
            "program": program,
            "description": description,
            "quantization": fixed.settings.model_dump(mode="json"),
            "report": fixed.report,
        }
        _add(archive, "manifest.json", json.dumps(manifest, indent=1))


def _add(archive: zipfile.ZipFile, name: str, text: str) -> None:
    archive.writestr(zipfile.ZipInfo(name, EPOCH), text, zipfile.ZIP_DEFLATED)


def to_hex(values: NDArray[np.int64], bits: int) -> str:
    """Return two's-complement words of `bits`, in as many hexadecimal digits as they need, a word a line."""
    digits = -(-bits // 4)
    return "".join(f"{int(value) & ((1 << bits) - 1):0{digits}x}\n" for value in values.reshape(-1))


def from_hex(text: str, bits: int) -> NDArray[np.int64]:
    """Return the words of such a text, (N,)."""
    words = [int(line, 16) for line in text.split()]
    return np.array([word - (1 << bits) if word >> (bits - 1) else word for word in words], np.int64)


def load(path: Path) -> tuple[Program, Weights]:
    """Return program and weights of such a file."""
    with zipfile.ZipFile(path) as archive:
        manifest = json.loads(archive.read("manifest.json"))
        weights = {
            each["tensor"]: from_hex(archive.read(each["file"]).decode(), each["bits"]).reshape(each["shape"])
            for each in manifest["files"]
            if each["file"].startswith("weights/")
        }
    return manifest["program"], weights
