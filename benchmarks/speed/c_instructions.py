"""Instructions a sample of the exported C, counted by valgrind: unlike cycles, no load of the machine changes them.

    make c-instructions     (or: python -m benchmarks.speed.c_instructions; needs gcc and valgrind)

The predistorters of `c_code`, in float32 and in integers of 16 bits. Counted is all that `dpd_run` executes, on a
record that it takes in the uneven chunks of the self-test. Cycles are fewer, or more, by what a processor executes at
once.
"""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.common import machine, markdown, write_table
from benchmarks.speed.c_code import predistorters, sources_of
from dpdrun.export.c import compiler, job
from dpdrun.export.description import describe_step
from dpdrun.export.step import StepGraph

SAMPLES = 4096
FLAGS = {"-O2": ("-O2",), "-O3, AVX2": ("-O3", "-march=x86-64-v3", "-fno-trapping-math")}
WORDS = {"dpd": "float32", "fixed": "integers"}


def instructions(files: job.Files, words: np.ndarray, flags: tuple[str, ...]) -> float:
    """Return the instructions of a sample."""
    prefix = files.source.prefix
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        counted = ("valgrind", "--quiet", "--tool=callgrind", "--collect-atstart=no", f"--toggle-collect={prefix}_run",
                   f"--callgrind-out-file={folder / 'counts'}")  # fmt: skip
        using = compiler.Compiler(compiler.require().command, ("-std=c99", *flags), counted)
        for file, text in files.texts.items():
            (folder / file).write_text(text, encoding="ascii")
        using.build(folder, (f"{prefix}.c", f"{prefix}_test.c"), f"{prefix}_test")
        words.tofile(folder / "in")
        using.execute(folder, f"{prefix}_test", "in", "out")
        found = re.search(r"^(?:summary|totals): (\d+)", (folder / "counts").read_text(), re.MULTILINE)
    assert found, "valgrind wrote no count"
    return int(found[1]) / len(words)


def main() -> None:
    """Count and write the table."""
    rng = np.random.default_rng(0)
    x = 0.2 * (rng.standard_normal(2 * SAMPLES) + 1j * rng.standard_normal(2 * SAMPLES))
    rows = []
    for name, model in predistorters().items():
        graph = StepGraph(model, name).eval()
        sources = sources_of(graph, describe_step(graph, graph.inner.config), x)
        counts = [
            instructions(files, words[:SAMPLES], flags) for files, words in sources.values() for flags in FLAGS.values()
        ]
        work = [f"{files.facts['multiplications_per_sample']:,}" for files, _ in sources.values()]
        parameters = sum(p.numel() for p in model.parameters())
        rows.append([f"{name}, {parameters} parameters", *work, *(f"{count:,.0f}" for count in counts)])
        print(" ".join(rows[-1]), flush=True)
    head = ["instructions a sample", *(f"multiplications, {kind}" for kind in WORDS.values()),
            *(f"{kind} {flags}" for kind in WORDS.values() for flags in FLAGS)]  # fmt: skip
    print(machine(), compiler.require().name)
    write_table("c-instructions", markdown(head, rows))


if __name__ == "__main__":
    main()
