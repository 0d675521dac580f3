"""Time and memory of `dpdrun apply` on a record of 10 million samples, in every format.

    make apply-speed            (or: python -m benchmarks.speed.apply)

The model is the Transformer of recipes/quickstart.yaml after a few steps: what it says does not matter here. Measured
is the whole command in a process of its own, on one thread: processor time, and the largest resident memory. Beside it
stands the same command on a record of 1,000 samples: what a longer record adds must not grow with it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.common import RESULTS_PAGE, ROOT, markdown, write_table
from dpdrun.recipe.loader import load_text

SAMPLES = 10_000_000
FEW = 1_000
FORMATS = (".cf32", ".npy", ".npz", ".csv")
MARKERS = "apply-speed"
STEPS = "train.max_steps=20", "train.compile=off"

# VmHWM and not ru_maxrss, which on Linux begins with the size of the process that started it
MEASURED = """
import contextlib, io, resource, sys
from dpdrun.commands import main
sys.argv = ["dpdrun", "apply", *sys.argv[1:]]
code = None
with contextlib.redirect_stdout(io.StringIO()):
    try:
        main()
    except SystemExit as end:
        code = end.code
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
used = resource.getrusage(resource.RUSAGE_SELF)
print(code or 0, used.ru_utime + used.ru_stime, int(peak.split()[1]) / 1024)
"""


def write(path: Path, samples: int) -> None:
    """A noise-like record in the format of its suffix, made in pieces too."""
    rng = np.random.default_rng(0)
    x = (0.1 * rng.standard_normal((samples, 2), dtype=np.float32)).view(np.complex64)[:, 0]
    match path.suffix:
        case ".cf32":
            x.tofile(path)
        case ".npy":
            np.save(path, x)
        case ".npz":
            np.savez(path, x=x)
        case ".csv":
            with path.open("w") as handle:
                handle.write("I,Q\n")
                for part in np.array_split(x, max(1, samples // 100_000)):
                    pairs = part.view(np.float32).tolist()
                    handle.write("%.7g,%.7g\n" * len(part) % tuple(pairs))


def measured(run: Path, source: Path, out: Path) -> tuple[float, float]:
    """Processor time [s] and peak memory [MB] of one command."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, str(run), str(source), str(out), "--force"],
        cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    code, seconds, megabytes = done.stdout.split()
    assert code == "0", done.stderr
    return float(seconds), float(megabytes)


def main() -> None:
    """Train, apply to a short and a long record of every format, write the table."""
    from dpdrun.training.job import train

    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        recipe = ROOT / "recipes" / "quickstart.yaml"
        train(load_text(recipe.read_text(), recipe, STEPS), folder / "run")
        for suffix in FORMATS:
            source, out = folder / f"in{suffix}", folder / f"out{suffix}"
            write(source, FEW)
            start_s, base = measured(folder / "run", source, out)
            write(source, SAMPLES)
            seconds, peak = measured(folder / "run", source, out)
            size = sum(path.stat().st_size for path in (source, out)) / 1e6
            rows.append([f"`{suffix}`", f"{size:,.0f}", f"{seconds:.0f}", f"{SAMPLES / (seconds - start_s):,.0f}",
                         f"{base:.0f}", f"{peak:.0f}", f"{peak - base:.0f}"])  # fmt: skip
            print(" ".join(rows[-1]), flush=True)
            source.unlink()
            out.unlink()
    head = ["format", "in and out [MB]", "processor time [s]", "samples/s", f"peak memory, {FEW:,} samples [MB]",
            f"peak memory, {SAMPLES:,} samples [MB]", "difference [MB]"]  # fmt: skip
    text = markdown(head, rows)
    print(text)
    if f"<!-- begin {MARKERS} -->" in RESULTS_PAGE.read_text():
        write_table(MARKERS, text)


if __name__ == "__main__":
    main()
