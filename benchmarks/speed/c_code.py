"""Samples per second of the exported C against onnxruntime and TorchScript, on one core.

    make c-speed            (or: OMP_NUM_THREADS=1 python -m benchmarks.speed.c_code)

Three predistorters of about 500 parameters: the Transformer of benchmarks/arena, and a GRU and a gmp with random
weights (the time does not depend on them). Each runs the same record in chunks through the files that `dpdrun export`
writes, in one process on one thread. Measured is processor time, as the machine may be shared: in each round every
program runs once, in turn, and the median over the rounds counts. The C in integers is that of 16 bits.
"""

from __future__ import annotations

import ctypes
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.arena.judge import load
from benchmarks.common import ROOT, machine, markdown, write_table
from dpdrun import models
from dpdrun.export import onnx, torchscript
from dpdrun.export.c import compiler, job
from dpdrun.export.description import describe_step
from dpdrun.export.fixed import FixedPoint
from dpdrun.export.step import StepGraph
from dpdrun.quantization import calibration, network, reference
from dpdrun.recipe.schema import GMPModel, GRUModel, QuantizationSection

SAMPLES, CHUNK, ROUNDS = 2**17, 4096, 15
NATIVE = ("-O3", "-march=native", "-fno-trapping-math")
FLAGS = {"C -O2": ("-O2",), "C -O3": NATIVE, "C -ffast-math": (*NATIVE, "-ffast-math")}
TRANSFORMER = ROOT / "benchmarks" / "arena" / "models" / "transformer-500-seed0"
MARKERS = "c-speed"
Program = Callable[[], Any]


def predistorters() -> dict[str, torch.nn.Module]:
    """Return the models by name."""
    torch.manual_seed(0)
    gru = models.build(GRUModel(kind="gru", hidden=10), scale_x=0.3, scale_y=0.3)
    gmp = models.build(GMPModel(kind="gmp", order=7, delays=12, cross=1), scale_x=0.3, scale_y=0.3)
    torch.nn.init.normal_(gmp.aligned, std=0.1)
    torch.nn.init.normal_(gmp.crossed, std=0.1)
    return {"transformer": load(TRANSFORMER), "gru": gru.eval(), "gmp": gmp.eval()}


def compiled(folder: Path, name: str, flags: tuple[str, ...], words: np.ndarray, state_bytes: int) -> Program:
    """Build a shared library of C files and return what runs the record through it."""
    gcc = compiler.require()
    library = folder / f"{name}{''.join(flags)}.so"
    compiler.run([*gcc.command, "-std=c99", *flags, "-shared", "-fPIC", f"{name}.c", "-lm", "-o", str(library)], folder)
    loaded = ctypes.CDLL(str(library))
    reset, run = getattr(loaded, f"{name}_reset"), getattr(loaded, f"{name}_run")
    state, y = (ctypes.c_int64 * (state_bytes // 8 + 1))(), np.empty_like(words)

    def program() -> np.ndarray:
        reset(state)
        for start in range(0, len(words), CHUNK):
            part, out = words[start : start + CHUNK], y[start : start + CHUNK]
            run(state, part.ctypes.data_as(ctypes.c_void_p), out.ctypes.data_as(ctypes.c_void_p),
                ctypes.c_size_t(len(part)))  # fmt: skip
        return y

    return program


def streamed(session: Any, graph: StepGraph, pairs: np.ndarray) -> Program:
    """Return what runs the record through onnxruntime."""

    def program() -> np.ndarray:
        state, outputs = {name: value.numpy() for name, value in graph.state.items()}, []
        for start in range(0, len(pairs), CHUNK):
            y, *after = session.run(None, {"x": pairs[None, start : start + CHUNK], **state})
            state = dict(zip(state, after, strict=True))
            outputs.append(y[0])
        return np.concatenate(outputs)

    return program


def scripted(module: Any, graph: StepGraph, pairs: np.ndarray) -> Program:
    """Return what runs the record through TorchScript."""
    x = torch.from_numpy(pairs)[None]

    def program() -> np.ndarray:
        state, outputs = list(graph.state.values()), []
        with torch.inference_mode():
            for start in range(0, len(pairs), CHUNK):
                y, *state = module(x[:, start : start + CHUNK], *state)
                outputs.append(y[0])
        return torch.cat(outputs).numpy()

    return program


def sources_of(graph: StepGraph, description: dict[str, Any], x: np.ndarray) -> dict[str, tuple[job.Files, np.ndarray]]:
    """Return the C files of a model and the words that they take: `dpd` in float32, `fixed` in integers of 16 bits."""
    weights = {n: t.double().numpy() for n, t in graph.inner.state_dict().items() if "scale" not in n}
    scales = {key: description[key] for key in ("scale_x", "scale_y")}
    ranges, net = calibration.observe(network.build(graph.inner.config, weights, **scales, peak=graph.peak), x[:8192])
    settings = QuantizationSection()
    point = FixedPoint(*calibration.quantize(net, ranges, settings), settings, {})
    return {
        "dpd": (job.generate("dpd", graph, description, x[:64]), job.pairs(x)),
        "fixed": (
            job.generate_fixed("fixed", point, description, x[:64]),
            reference.to_words(point.program, x).astype(np.int16),
        ),
    }


def programs_of(name: str, model: Any, folder: Path, x: np.ndarray) -> dict[str, Program]:
    """Write the files of a model and return what runs the record through each."""
    import onnxruntime

    graph = StepGraph(model, name).eval()
    description = describe_step(graph, graph.inner.config)
    sources = sources_of(graph, description, x)
    (generated, pairs), (integers, words) = sources["dpd"], sources["fixed"]
    onnx.write(folder / "m.onnx", graph, description)
    torchscript.write(folder / "m.pt", graph, description)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession((folder / "m.onnx").read_bytes(), options, ["CPUExecutionProvider"])
    module = torch.jit.optimize_for_inference(torch.jit.freeze(torch.jit.load(folder / "m.pt").eval()))
    job.write(folder / "dpd.c", generated)
    job.write(folder / "fixed.c", integers)
    return {
        "onnxruntime": streamed(session, graph, pairs),
        "TorchScript": scripted(module, graph, pairs),
        **{key: compiled(folder, "dpd", flags, pairs, generated.source.state_bytes) for key, flags in FLAGS.items()},
        "C in integers -O3": compiled(folder, "fixed", NATIVE, words, integers.source.state_bytes),
    }


def main() -> None:
    """Measure and write the table."""
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    x = 0.2 * (rng.standard_normal(SAMPLES) + 1j * rng.standard_normal(SAMPLES))
    rows = []
    for name, model in predistorters().items():
        with tempfile.TemporaryDirectory() as folder:
            programs = programs_of(name, model, Path(folder), x)
            expected = programs["TorchScript"]()
            for other in ("onnxruntime", *FLAGS):
                error = np.linalg.norm(programs[other]() - expected) / np.linalg.norm(expected)
                assert error < 1e-5, f"{name}, {other}: {error}"
            seconds: dict[str, list[float]] = {key: [] for key in programs}
            for _ in range(ROUNDS):
                for key, program in programs.items():
                    start = time.process_time()
                    program()
                    seconds[key].append(time.process_time() - start)
        rate = {key: SAMPLES / statistics.median(values) / 1e6 for key, values in seconds.items()}
        best = max(rate["onnxruntime"], rate["TorchScript"])
        ratios = [f"{rate[key] / best:.1f}" for key in FLAGS]
        parameters = sum(p.numel() for p in model.parameters())
        rows.append([f"{name}, {parameters} parameters", *(f"{value:.2f}" for value in rate.values()), *ratios])
        print(" ".join(rows[-1]), flush=True)
    head = ["predistorter", *(f"{key} [MS/s]" for key in rate), *(f"{key}, ratio" for key in FLAGS)]
    print(machine(), compiler.require().name)
    write_table(MARKERS, markdown(head, rows))


if __name__ == "__main__":
    main()
