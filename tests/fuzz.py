"""Coverage-guided fuzzing of all readers of others' files: `make fuzz`, or `python -m tests.fuzz READER --seconds 60`.

Each reader gets valid files and mutations of them (atheris, a libFuzzer for Python), and may only return or raise a
DpdrunError whose message has at most three lines (a recipe: a line and its place for each problem) and is printable.
Inputs are kept in build/fuzz/READER; one that ends in anything else is written to tests/crashes/READER, where
tests/test_crashes.py reads it from then on.

What reads HDF5 files in a process of its own is fuzzed in this one. Where the HDF5 library, which is C, crashes, the
fuzzer starts again: dpdrun only loses that process to it. Those inputs are in build/fuzz/READER-crashes.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from unittest import mock

import numpy as np

from tests import fuzz_captures

ROOT = Path(__file__).parents[1]
CRASHES = ROOT / "tests" / "crashes"
WORK = ROOT / "build" / "fuzz"
SECONDS = 3600
SLOWEST_S = 20  # for an input of at most LONGEST bytes on a loaded machine
MEMORY_MB = 4096
LONGEST = 1 << 16  # bytes
LINES = 3
CHOICE = 30  # lines of a message that lists the signals of a file


@dataclass(frozen=True)
class Reader:
    """A reader under test: the name that its file gets, what reads it, and valid files to begin with."""

    file: str
    read: Callable[[Path], object]
    seeds: Callable[[], list[bytes]]
    lines: int = LINES
    is_native: bool = False  # reads with a C library, whose crashes are not ours


def capture(path: Path) -> object:
    from dpdrun.data.sources import read_source
    from dpdrun.recipe.schema import DataSection

    return read_source(DataSection.model_validate({"source": str(path), "sample_rate_hz": 1e6}))


def hdf5_capture(path: Path) -> object:
    from dpdrun.data.formats import hdf5
    from tests.data.records import ask_here

    with mock.patch.object(hdf5, "ask", ask_here):
        return capture(path)


def hdf5_reply(path: Path) -> object:
    """Read what a process taken over by a file could reply."""
    from dpdrun.data.formats import hdf5
    from dpdrun.errors import reading

    def ask(file: Path, where: str, key: str | None, budget: int) -> object:
        with reading(where, "HDF5"), file.open("rb") as reply:
            return hdf5.parse(reply, budget)

    with mock.patch.object(hdf5, "ask", ask):
        return [signal.load() for signal in hdf5.read_hdf5(path, path.name).signals]


def waveform(path: Path) -> object:
    from dpdrun.data.formats.waveform_reader import read_waveform

    return read_waveform(path)


def prediction(path: Path) -> object:
    from dpdrun.diagnosis.signal.files import read_signal_pair

    return read_signal_pair(path, path)


def log(path: Path) -> object:
    from dpdrun.diagnosis.diagnose import diagnose_any

    return diagnose_any(path)


def sigmf(path: Path) -> object:
    path.with_suffix(".sigmf-data").write_bytes(fuzz_captures.two_channels())
    return capture(path)


def sweep(path: Path) -> object:
    from dpdrun.sweep.document import load_sweep

    return load_sweep(path)


def journal(path: Path) -> object:
    from dpdrun.sweep.journal import Journal

    return Journal(path).read()


def script(path: Path) -> object:
    from dpdrun.opendpd.shell.script import commands

    return commands(path.read_bytes().decode(errors="replace"), path.name)


def recipe(path: Path) -> object:
    from dpdrun.plan.plan import make_plan  # noqa: F401 - its imports belong to what is instrumented
    from dpdrun.recipe.loader import load_recipe

    return load_recipe(path)


def run_file(path: Path) -> object:
    """Read a file of a run folder, all others of which are missing or valid."""
    from dpdrun.diagnosis.diagnose import diagnose
    from dpdrun.run.heartbeat import health

    if path.name == "heartbeat.json":
        return health(path.parent)
    for name, content in (("plan.json", plan_json()), ("metrics.jsonl", metrics())):
        if name != path.name:
            (path.parent / name).write_bytes(content)
    return diagnose(path.parent)


def tensors(path: Path) -> object:
    from dpdrun.models._tensors import read

    return read(path)


def saved(write: Callable[[io.BytesIO], object]) -> bytes:
    file = io.BytesIO()
    write(file)
    return file.getvalue()


def archives() -> list[bytes]:
    x = np.exp(1j * np.arange(24))
    pairs = np.stack([x.real, x.imag], axis=1)
    stored = saved(lambda file: np.savez(file, x=x, y=2 * x, sample_rate_hz=1e6))
    packed = saved(lambda file: np.savez_compressed(file, input=pairs, output=pairs * 2))
    odd = io.BytesIO()
    with zipfile.ZipFile(odd, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("x.npy", arrays()[0])
        archive.writestr("y.npy", arrays()[1])
    return [stored, packed, odd.getvalue()]


def arrays() -> list[bytes]:
    x = np.exp(1j * np.arange(24))
    both = (x, np.asfortranarray(np.stack([x.real, x.imag], axis=1)), x.astype("<c8"))
    return [saved(lambda file, each=each: np.save(file, each)) for each in both]  # type: ignore[misc]


def tables() -> list[bytes]:
    rows = "".join(f"{np.cos(i):.3f},{np.sin(i):.3f},{2 * np.cos(i):.3f},{2 * np.sin(i):.3f}\n" for i in range(20))
    halves = "".join(f"{np.cos(i):.3f},{np.sin(i):.3f}\r\n" for i in range(20))
    return [f"I_in,Q_in,I_out,Q_out\n{rows}".encode(), f"\ufeffI,Q\r\n{halves}".encode()]


def log_tables() -> list[bytes]:
    rows = "".join(f"{i},{1 / i:.4f},1e-3,{'' if i % 5 else -20 - i},tensor(0.5)\n" for i in range(1, 25))
    history = "".join(f"{i},25,0.001,gru,{1 / (i + 1):.8f},{-20 - i},0.1\n" for i in range(20))
    return [
        f"step,loss,lr,val_nmse_db,grad_norm\n{rows}".encode(),
        f"EPOCH,N_EPOCH,LR,BACKBONE,TRAIN_LOSS,VAL_NMSE,VAL_LOSS\n{history}".encode(),
    ]


def log_lines() -> list[bytes]:
    lines = [json.dumps({"step": i, "train": {"loss": 1 / i}, "grad_norm": float(i)}) for i in range(1, 20)]
    return ["\n".join(lines).encode() + b"\n", metrics()]


def log_objects() -> list[bytes]:
    history = [{"step": 10 * i, "loss": 1 / i, "grad_norm": 1.0, "learning_rate": 1e-3} for i in range(1, 20)]
    return [
        json.dumps({"log_history": history, "max_steps": 200, "logging_steps": 10}).encode(),
        json.dumps({"loss": [1.0, 0.5, 0.2], "val_loss": [1.0, 0.6, 0.4]}).encode(),
    ]


def log_texts() -> list[bytes]:
    steps = range(1, 20)
    printed = [f"step {i}/200 | loss {1 / i:.4f} | lr 1.0e-3 | norm 0.5\n" for i in steps]
    trainer = [f"{{'loss': {1 / i:.4f}, 'grad_norm': 1.0, 'learning_rate': 0.001, 'epoch': {i}}}\n" for i in steps]
    return ["".join(printed).encode(), "".join(trainer).encode()]


def events() -> list[bytes]:
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.record_writer import RecordWriter

    file = io.BytesIO()
    writer = RecordWriter(file)
    for i in range(12):
        value = Summary.Value(tag="loss" if i % 2 else "grad_norm", simple_value=1.0 / (i + 1))
        writer.write(Event(step=i // 2, summary=Summary(value=[value])).SerializeToString())
    return [file.getvalue()]


def scripts() -> list[bytes]:
    loop = 'for h in 8 16; do\n  python main.py --step train_pa --PA_hidden_size "$h" --dataset_name DPA_200MHz\ndone\n'
    return [f"#!/bin/bash\nA=gru\n{loop}".encode(), b'B=${A:-x}\nif [ "$B" = x ]; then C=(a b); fi\n(( i = 1 ))\n']


def sweeps() -> list[bytes]:
    text = (
        "recipe: quickstart\nset: [train.max_steps=2]\nover:\n  model.d_model: [8, 16]\n  optim.lr: log:1e-3..1e-1:3\n"
    )
    return [f"{text}seeds: 2\nobjectives: [val_nmse_db, seconds]\nbudget: {{trials: 4, core_hours: 1}}\n".encode()]


def journals() -> list[bytes]:
    trial = {"id": "0123456789abcdef", "seed": 0, "overrides": ["optim.lr=1e-3"]}
    point = {"config": {"optim.lr": "1e-3"}, "values": {"optim.lr": 1e-3}, "trials": [trial], "data_sha256": "0",
             "is_rules": True, "search": None}  # fmt: skip
    lines = [
        {"event": "sweep", "time": 1.0, "values": {"task": "pa"}, "data": ["0"], "recipe": "r"},
        {"event": "point", "time": 2.0, "point": point},
        {"event": "claim", "time": 3.0, "id": trial["id"], "worker": "w"},
        {"event": "rung", "time": 3.5, "id": trial["id"], "step": 2, "db": -20.0},
        {"event": "lost", "time": 4.0, "id": trial["id"], "worker": "w", "step": 1, "core_seconds": 1.0},
        {"event": "finished", "time": 5.0, "id": trial["id"], "worker": "w", "core_seconds": 1.0, "report": None},
    ]
    return ["".join(json.dumps(line) + "\n" for line in lines).encode()]


def recipes() -> list[bytes]:
    return [path.read_bytes() for path in sorted((ROOT / "recipes").glob("*.yaml"))] or [
        b"task: pa\ndata: {source: synthetic/mild}\nmodel: {kind: gru, hidden: 8}\n"
    ]


@cache
def plan_json() -> bytes:
    from dpdrun.plan.prepare import prepare
    from dpdrun.recipe.loader import load_text
    from dpdrun.run.files import encode_numbers

    text = "task: pa\ndata: {source: synthetic/mild}\nmodel: {kind: gru, hidden: 8}\ntrain: {max_steps: 20}\n"
    plan, _ = prepare(load_text(text))
    return json.dumps(encode_numbers(plan.to_json())).encode()


def metrics() -> bytes:
    lines = [
        {"kind": "step", "step": i, "loss": 1 / i, "grad_norm": 1.0, "lr": 1e-3, "lr_planned": 1e-3, "clip_norm": 1.0,
         "clipped": False, "samples": i, "frames_crc": 1, "step_s": 0.1, "data_s": 0.1}
        for i in range(1, 20)
    ]  # fmt: skip
    return "".join(json.dumps(line) + "\n" for line in lines).encode()


def beats() -> list[bytes]:
    return [b'{"step": 1, "total_steps": 2, "phase": "training", "time": 1700000000.0}\n']


def models() -> list[bytes]:
    import torch

    from dpdrun.models._tensors import write

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.safetensors"
        write(path, {"w": torch.ones(3, 2), "b": torch.zeros(2)}, {"format": "x"})
        return [path.read_bytes()]


READERS = {
    "capture-npz": Reader("input.npz", capture, archives, CHOICE),
    "capture-npy": Reader("input.npy", capture, arrays, CHOICE),
    "capture-csv": Reader("input.csv", capture, tables, CHOICE),
    "waveform-npz": Reader("x.npz", waveform, archives, CHOICE),
    "waveform-csv": Reader("x.csv", waveform, tables, CHOICE),
    "waveform-wv": Reader("x.wv", waveform, fuzz_captures.wv_files, CHOICE),
    "waveform-iq-tar": Reader("x.iq.tar", waveform, fuzz_captures.iq_tar_files, CHOICE),
    "waveform-wav": Reader("x.wav", waveform, fuzz_captures.wav_files, CHOICE),
    "capture-mat": Reader("input.mat", capture, fuzz_captures.mat_files, CHOICE),
    "capture-hdf5": Reader("input.h5", hdf5_capture, fuzz_captures.hdf5_files, CHOICE, is_native=True),
    "hdf5-reply": Reader("reply", hdf5_reply, fuzz_captures.hdf5_replies, CHOICE),
    "capture-tdms": Reader("input.tdms", capture, fuzz_captures.tdms_files, CHOICE),
    "capture-sigmf": Reader("input.sigmf-meta", sigmf, fuzz_captures.sigmf_metadata, CHOICE),
    "capture-sigmf-archive": Reader("input.sigmf", capture, fuzz_captures.sigmf_archives, CHOICE),
    "prediction-npz": Reader("p.npz", prediction, archives),
    "prediction-csv": Reader("p.csv", prediction, tables),
    "log-csv": Reader("log.csv", log, log_tables),
    "log-jsonl": Reader("log.jsonl", log, log_lines),
    "log-json": Reader("trainer_state.json", log, log_objects),
    "log-text": Reader("log.txt", log, log_texts),
    "log-events": Reader("events.out.tfevents.1.host.1", log, events),
    "script": Reader("run.sh", script, scripts),
    "recipe": Reader("r.yaml", recipe, recipes, lines=1000),
    "sweep": Reader("s.yaml", sweep, sweeps, lines=1000),
    "sweep-journal": Reader("journal.jsonl", journal, journals),
    "run-plan": Reader("plan.json", run_file, lambda: [plan_json()]),
    "run-metrics": Reader("metrics.jsonl", run_file, lambda: [metrics()]),
    "run-heartbeat": Reader("heartbeat.json", run_file, beats),
    "tensors": Reader("model.safetensors", tensors, models),
}


def check(name: str, data: bytes, folder: Path) -> None:
    """Read one input; raises whatever is no message for a user."""
    from dpdrun.errors import DpdrunError

    reader = READERS[name]
    path = folder / reader.file
    path.write_bytes(data)
    try:
        reader.read(path)
    except DpdrunError as error:
        text = str(error)
        assert len(text.splitlines()) <= reader.lines, text
        assert all(character.isprintable() or character == "\n" for character in text), text


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """A folder in memory, where the system has one."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as folder:
        yield Path(folder)


def fuzz(name: str, seconds: int) -> None:
    """Fuzz one reader in this process, which ends with it."""
    import atheris

    with atheris.instrument_imports(include=["dpdrun", "numpy.lib", "zipfile", "csv", "json"]):
        check(name, READERS[name].seeds()[0], Path(tempfile.mkdtemp()))
    corpus = WORK / name
    corpus.mkdir(parents=True, exist_ok=True)
    for i, seed in enumerate(READERS[name].seeds()):
        (corpus / f"seed-{i}").write_bytes(seed)
    crashes = WORK / f"{name}-crashes" if READERS[name].is_native else CRASHES / name
    crashes.mkdir(parents=True, exist_ok=True)
    with scratch() as folder:
        atheris.Setup(
            [sys.argv[0], str(corpus), f"-max_total_time={seconds}", f"-max_len={LONGEST}", f"-timeout={SLOWEST_S}",
             f"-rss_limit_mb={MEMORY_MB}", f"-artifact_prefix={crashes}/", "-print_final_stats=1"],
            lambda data: check(name, data, folder),
        )  # fmt: skip
        atheris.Fuzz()


def fuzz_apart(name: str, seconds: int) -> str:
    """Fuzz one reader in a process of its own and print a line; returns what is wrong, or nothing."""
    end, inputs, crashes = time.monotonic() + seconds, 0, 0
    while (left := int(end - time.monotonic())) > 0:
        done = subprocess.run(
            [sys.executable, "-m", "tests.fuzz", name, "--here", "--seconds", str(left)],
            capture_output=True, text=True, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        inputs += sum(int(line.split()[-1]) for line in done.stderr.splitlines() if "number_of_executed_units" in line)
        wrong = done.stdout + done.stderr if done.returncode else ""
        if not (wrong and READERS[name].is_native and "Python exception" not in wrong):
            break
        crashes, wrong = crashes + 1, ""
    native = f", {crashes} crashes of the C library" if READERS[name].is_native else ""
    print(f"{name}: {inputs} inputs, {'failed' if wrong else 'ok'}{native}", flush=True)
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("readers", nargs="*", metavar="READER", help=f"of {', '.join(READERS)}; default: all")
    parser.add_argument("--seconds", type=int, default=SECONDS, help="for each reader")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.here:
        fuzz(given.readers[0], given.seconds)
        return 0
    failed = {name: wrong for name in given.readers or READERS if (wrong := fuzz_apart(name, given.seconds))}
    for name, text in failed.items():
        print(f"\n{name}:\n{text[-3000:]}")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
