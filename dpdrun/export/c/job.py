"""Export a model as C: generate the files, verify them if there is a compiler, and write them."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpdrun.data.formats.waveform import check_writable
from dpdrun.errors import DataError, RunError
from dpdrun.export.c import compiler, files, fixed, gmp, gru, transformer
from dpdrun.export.c.blocks import Weights, output
from dpdrun.export.c.source import Source
from dpdrun.export.fixed import FixedPoint
from dpdrun.export.step import StepGraph, frequencies
from dpdrun.export.verify import ratio, reference_outputs
from dpdrun.quantization import reference
from dpdrun.run.files import replacing

GOLDEN_SAMPLES = 1024
MOST_BYTES = 1 << 20  # of a description
KINDS: dict[str, Callable[[Source, dict[str, Any], Weights, float], None]] = {
    "transformer": transformer.write,
    "gru": gru.write,
    "gmp": gmp.write,
}
TAKEN = ("math", "stddef", "stdint", "stdio", "stdlib")  # headers that the files include


@dataclass(frozen=True)
class Files:
    """The files of one model.

    Attributes:
        source: their parts.
        golden: input and output words of the self-test, (N, 2) each.
        code: what a compiler made of them.
        verified: by which compiler, on how many samples, with what error.
    """

    source: Source
    description: dict[str, Any]
    golden: tuple[NDArray[Any], NDArray[Any]]
    code: files.Code | None = None
    verified: dict[str, Any] | None = None

    @property
    def facts(self) -> dict[str, Any]:
        """Sizes and operations, see `files.facts`."""
        return files.facts(self.source, self.description, self.code) | {"verified": self.verified}

    @property
    def texts(self) -> dict[str, str]:
        """Contents by file name."""
        prefix, c = self.source.prefix, self.source
        content = self.description | {"c": self.facts}
        return {
            f"{prefix}.c": files.source(c),
            f"{prefix}.h": files.header(c, self.description, self.code),
            f"{prefix}_test.c": files.self_test(c, *self.golden),
            f"{prefix}.json": json.dumps(content, indent=1) + "\n",
        }


def check(out: Path, *, force: bool) -> None:
    """Raise DataError, before any work, unless the files can be written and `out` is a valid C name."""
    check_writable(out, force=force, suffixes=(".c",))
    prefix = out.stem
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", prefix) or prefix.lower() in TAKEN:
        raise DataError(
            f"{out}: the functions are named after the file ({prefix}_step), so its name may have only letters, digits "
            f"and _, has to begin with a letter, and cannot be one of {', '.join(TAKEN)}; for example "
            f"{out.with_name('dpd.c')}"
        )
    for name in (f"{prefix}.h", f"{prefix}_test.c", f"{prefix}.json"):
        check_writable(out.with_name(name), force=force, suffixes=(".h", ".c", ".json"))
    facts = out.with_name(f"{prefix}.json")
    if facts.is_file() and not _is_of_export(facts):
        raise DataError(f"{facts}: would be replaced, and is no description of an export; give {out} another name")


def _is_of_export(path: Path) -> bool:
    with suppress(OSError, ValueError, RecursionError):
        content = json.loads(path.read_bytes()[:MOST_BYTES])
        return isinstance(content, dict) and "c" in content
    return False


def generate(prefix: str, graph: StepGraph, description: dict[str, Any], x: NDArray[np.complex128]) -> Files:
    """Return the files of a model in float32.

    Args:
        x: input of the golden vector, (N,); the first GOLDEN_SAMPLES are used.

    Raises:
        RunError: there is no C for the kind of model, or it has weights that are not finite.
    """
    if description["kind"] not in KINDS:
        raise RunError(
            f"--to c: no C for model.kind {description['kind']}, only for {', '.join(KINDS)}; use --to torchscript, "
            "which supports every kind"
        )
    c = Source(prefix)
    weights: Weights = {name: tensor.double().numpy() for name, tensor in graph.inner.state_dict().items()}
    if "position" in graph.state:
        weights["frequencies"] = frequencies(description["config"]["d_model"])
    if not description["scale_x"]:
        raise RunError("scale_x of the model is 0: the file of its weights is damaged, so it cannot be exported")
    KINDS[description["kind"]](c, description["config"], weights, description["scale_x"])
    output(c, description["scale_y"], description["peak_limit"])
    words = pairs(x[:GOLDEN_SAMPLES])
    expected = reference_outputs(graph.model, words.astype(np.float64).view(np.complex128)[:, 0])[1]
    return Files(c, _kept(description), (words, pairs(expected)))


def pairs(signal: NDArray[np.complex128]) -> NDArray[np.float32]:
    """Return I and Q in float32. (N,) complex -> (N, 2)."""
    return np.stack([signal.real, signal.imag], axis=-1).astype(np.float32)


def generate_fixed(prefix: str, rounded: FixedPoint, description: dict[str, Any], x: NDArray[np.complex128]) -> Files:
    """Return the files of a model in fixed point; the arguments as those of `generate`."""
    program, weights = rounded.program, rounded.weights
    c = Source(prefix, number=fixed.port_type(program))
    fixed.write(c, program, weights)
    words = reference.to_words(program, x[:GOLDEN_SAMPLES])
    padded = np.pad(words, ((0, program["lookahead"]), (0, 0)))
    expected, _ = reference.step(program, weights, padded, reference.initial_state(program))
    content = _kept(description) | {
        "quantization": rounded.settings.model_dump(mode="json"),
        "report": rounded.report,
    }
    return Files(c, content, (words, expected[program["lookahead"] :]))


def _kept(description: dict[str, Any]) -> dict[str, Any]:
    """Leave out what is said of files that hold tensors."""
    return {
        key: value for key, value in description.items() if key not in ("inputs", "outputs", "streaming", "verified")
    }


def verify(
    generated: Files, x: NDArray[np.complex128], expected: list[NDArray[np.complex128]], using: compiler.Compiler
) -> Files:
    """Compile the files, run the self-test, stream a record through them and compare.

    Args:
        x: the record, (N,).
        expected: its outputs, as from `reference_outputs`; the closer one counts.

    Returns:
        The files with the size of the code, and with `verified`.

    Raises:
        RunError: it does not compile, the self-test fails, or the error is larger than `files.TOLERANCE`.
    """
    words, code = stream(generated, pairs(x), using)
    streamed = words.astype(np.float64).view(np.complex128)[:, 0]
    error = min(rms_error(streamed, each) for each in expected)
    if error > files.TOLERANCE:
        raise RunError(
            f"{generated.source.prefix}.c: the output of the compiled file differs from the run's: on the test split "
            f"its rms error is {error:.1e} of the rms (limit {files.TOLERANCE:g}); nothing was written. Please report "
            "it with the recipe of the run and the name of the compiler"
        )
    return replace(
        generated, code=code, verified={"compiler": using.name, "samples": len(x), "rms_error": error}
    )  # fmt: skip


def verify_fixed(
    generated: Files, words: NDArray[np.int64], expected: NDArray[np.int64], using: compiler.Compiler
) -> Files:
    """Do the same in integers: all words have to be equal.

    Args:
        words, expected: input and output of `quantization.reference`, (N, 2), the output not late.
    """
    streamed, code = stream(generated, words, using)
    wrong = np.flatnonzero((streamed != expected).any(-1)) if streamed.shape == expected.shape else np.zeros(1, int)
    if wrong.size:
        raise RunError(
            f"{generated.source.prefix}.c: sample {wrong[0]} of the test split differs from the fixed-point reference; "
            "nothing was written. Please report it with the recipe of the run and the name of the compiler"
        )
    return replace(generated, code=code, verified={"compiler": using.name, "samples": len(words), "rms_error": 0.0})


def stream(generated: Files, words: NDArray[Any], using: compiler.Compiler) -> tuple[NDArray[Any], files.Code | None]:
    """Compile the files, run the self-test, and stream a record through them in uneven chunks.

    Args:
        words: (N, 2), what the interface takes.

    Returns:
        Output of these samples, (N, 2), and the machine code.

    Raises:
        RunError: it does not compile, or the self-test fails.
    """
    prefix, late = generated.source.prefix, generated.description["lookahead"]
    number = np.dtype(generated.source.number.removesuffix("_t").replace("float", "float32"))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file, text in generated.texts.items():
            (folder / file).write_text(text, encoding="ascii")
        size = using.compile(folder, f"{prefix}.c", "model.o")
        using.build(folder, ("model.o", f"{prefix}_test.c"), f"{prefix}_test")
        using.execute(folder, f"{prefix}_test")
        np.pad(words, ((0, late), (0, 0))).astype(number).tofile(folder / "in")
        using.execute(folder, f"{prefix}_test", "in", "out")
        output = np.fromfile(folder / "out", number).reshape(-1, 2)[late:]
    return output, files.Code(size, using.name, using.target) if size else None


def rms_error(output: NDArray[np.complex128], expected: NDArray[np.complex128]) -> float:
    """Return the rms of the error relative to the expected rms; inf if it is not finite or a length differs."""
    if output.shape != expected.shape:
        return float("inf")
    return ratio(float(np.linalg.norm(output - expected)), float(np.linalg.norm(expected)))


def write(out: Path, generated: Files) -> int:
    """Write the files next to each other, all or none. Returns their bytes."""
    texts = generated.texts
    with ExitStack() as stack:
        for name, text in texts.items():
            stack.enter_context(replacing(out.with_name(name))).write_text(text, encoding="ascii")
    return sum(map(len, texts.values()))
