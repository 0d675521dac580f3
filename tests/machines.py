"""The tests as other machines run them: `make test-machines`, or `python tests/machines.py PATH ...` for a part.

No result may depend on the instructions that libraries choose, on the number of threads, on the draws of hypothesis, or
on what else the machine does. Each value of each is met once, not every combination.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

ROOT = Path(__file__).parents[1]
# What torch, its two libraries and NumPy's choose by; those that do not know a name take no notice of it.
INSTRUCTIONS = {
    "default": {
        "ATEN_CPU_CAPABILITY": "default", "MKL_ENABLE_INSTRUCTIONS": "SSE4_2", "ONEDNN_MAX_CPU_ISA": "SSE41",
        "OPENBLAS_CORETYPE": "Nehalem",
    },
    "avx2": {
        "ATEN_CPU_CAPABILITY": "avx2", "MKL_ENABLE_INSTRUCTIONS": "AVX2", "ONEDNN_MAX_CPU_ISA": "AVX2",
        "OPENBLAS_CORETYPE": "Haswell",
    },
    "native": {},
}  # fmt: skip
RUNS = (  # threads, instructions, seed of hypothesis, whether other work takes a core
    (1, "default", 1, False),
    (2, "avx2", 2, False),
    (4, "native", 3, False),
    (2, "native", 1, True),
)


def main(arguments: list[str]) -> int:
    for threads, instructions, seed, busy in RUNS:
        print(
            f"threads {threads}, {instructions}, seed {seed}{', a core is busy' if busy else ''}: ", end="", flush=True
        )
        if instructions == "avx2" and not has_avx2():
            print("not run: this CPU has no AVX2")
            continue
        began = time.monotonic()
        with ExitStack() as held:
            if busy:
                other = held.enter_context(subprocess.Popen([sys.executable, "-c", "while True: pass"]))
                held.callback(other.kill)
            done = subprocess.run(
                [sys.executable, "-m", "pytest", "-q", "-m", "not slow", f"--hypothesis-seed={seed}", *arguments],
                cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
                env={**os.environ, **INSTRUCTIONS[instructions], "OMP_NUM_THREADS": str(threads)},
            )  # fmt: skip
        print(done.stdout.splitlines()[-1] if done.returncode == 0 else f"red after {time.monotonic() - began:.0f} s")
        if done.returncode:
            print(done.stdout)
            return done.returncode
    return 0


def has_avx2() -> bool:
    """Torch takes the word of ATEN_CPU_CAPABILITY for it."""
    import torch

    return torch.backends.cpu.get_cpu_capability() in ("AVX2", "AVX512")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
