"""Find a C compiler, and build and run generated files with it."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dpdrun.errors import RunError

NAMES = ("gcc", "clang", "cc")
FLAGS = ("-std=c99", "-O2")
TIMEOUT_S = 600
CAPTURED: Any = {"capture_output": True, "text": True, "errors": "replace", "check": False}  # in whatever encoding


@dataclass(frozen=True)
class Compiler:
    """A C compiler.

    Attributes:
        command: as given in CC, or found.
        flags: of a build.
        runner: what runs its programs, if it compiles for another machine: such as qemu-aarch64.
    """

    command: tuple[str, ...]
    flags: tuple[str, ...] = FLAGS
    runner: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """First line of its `--version`, such as "gcc (Debian 12.2.0-14) 12.2.0"; else its command."""
        lines = self._ask("--version").splitlines()
        return lines[0] if lines else self.command[0]

    @property
    def target(self) -> str:
        """The machine that it compiles for, such as "x86_64-linux-gnu"."""
        return self._ask("-dumpmachine").strip() or "this machine"

    def _ask(self, option: str) -> str:
        done = subprocess.run([*self.command, option], **CAPTURED)
        return done.stdout if done.returncode == 0 else ""

    def compile(self, folder: Path, source: str, out: str) -> int | None:
        """Compile a source file of a folder to an object file.

        Returns:
            The bytes of machine code in it, as `size` counts them; None if there is no `size`.

        Raises:
            RunError: with what the compiler printed.
        """
        run([*self.command, *self.flags, "-c", source, "-o", out], folder)
        size = shutil.which("size")
        if size is None:
            return None
        done = subprocess.run([size, "-A", out], cwd=folder, **CAPTURED)
        sections = re.findall(r"^\.text\S*\s+(\d+)", done.stdout, re.MULTILINE)
        return sum(map(int, sections)) if sections else None

    def build(self, folder: Path, parts: Sequence[str], program: str) -> None:
        """Compile and link files of a folder. Raises RunError with what the compiler printed."""
        run([*self.command, *self.flags, *parts, "-lm", "-o", program], folder)

    def execute(self, folder: Path, program: str, *arguments: str) -> str:
        """Run a program of a folder in it and return what it printed. Raises RunError if it fails."""
        return run([*self.runner, str(folder / program), *arguments], folder)


def find() -> Compiler | None:
    """Return the compiler that CC names, else the first of NAMES that is there; None if there is none.

    Raises RunError when CC names none.
    """
    try:
        chosen = shlex.split(os.environ.get("CC", ""))
    except ValueError as error:
        raise RunError(f"CC={os.environ['CC']}: {error}; unset CC, or set it to a C compiler") from None
    if chosen:
        if shutil.which(chosen[0]) is None:
            raise RunError(f"CC={os.environ['CC']}: no such program; unset CC, or set it to a C compiler")
        return Compiler(tuple(chosen))
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    return Compiler((found,)) if found else None


def require() -> Compiler:
    """Return the compiler. Raises RunError if there is none."""
    found = find()
    if found is None:
        raise RunError(
            f"--verify compiles the C files, and there is no C compiler here ({', '.join(NAMES)}); install one, name "
            "it in CC, or leave --verify out and run the self-test where you compile"
        )
    return found


def run(command: Sequence[str], folder: Path) -> str:
    """Run a command in a folder and return its output. Raises RunError if it fails, with what it printed."""
    shown = " ".join(Path(command[0]).name if i == 0 else part for i, part in enumerate(command))
    try:
        done: subprocess.CompletedProcess[str] = subprocess.run(command, cwd=folder, timeout=TIMEOUT_S, **CAPTURED)
    except OSError as exc:
        raise RunError(
            f"{shown}: cannot run: {exc.strerror}; nothing was written. If CC compiles for another machine, set it to "
            "a compiler of this one"
        ) from exc
    except subprocess.TimeoutExpired:
        raise RunError(f"{shown}: not finished after {TIMEOUT_S} s; nothing was written") from None
    if done.returncode:
        printed = (done.stderr + done.stdout).strip()[-2000:]
        raise RunError(f"{shown}: failed with exit code {done.returncode}; nothing was written\n{printed}")
    return done.stdout
