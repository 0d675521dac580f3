"""The folder of a measurement loop.

    bench/  loop.json (settings and rounds, the only state)  waveform-<round>.<format> (to play)
            rounds/<round>/  waveform.npy (as computed, before the rounding of the format)
                             measured.npz (waveform and aligned output, itself a source of data)
                             pa/, dpd/ (run folders of `--method model`, by pa.yaml and dpd.yaml of the loop)

Every file of a round is written before loop.json names it, so a killed process leaves the state of the round before:
the same command repeats the work and writes the same files.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from dpdrun.errors import RunError
from dpdrun.loop.state import SCHEMA_VERSION, LoopState
from dpdrun.rf.metrics import Signal
from dpdrun.run.environment import environment
from dpdrun.run.files import json_text, make_folder, replacing, write_text
from dpdrun.run.folder import RunFolder
from dpdrun.run.symlinks import reject_escaping_dirs

STATE = "loop.json"
ROUNDS = "rounds"


@dataclass(frozen=True)
class LoopFolder:
    """The folder of a loop, and the paths in it."""

    path: Path

    @property
    def state_file(self) -> Path:
        """loop.json."""
        return self.path / STATE

    def recipe(self, task: str) -> Path:
        """Return the recipe of method model for a task, pa or dpd."""
        return self.path / f"{task}.yaml"

    def round(self, number: int) -> Path:
        """Return the folder of a round."""
        return self.path / ROUNDS / str(number)

    def measured_file(self, number: int) -> Path:
        """Return the aligned capture of a round: x the waveform, y the output."""
        return self.round(number) / "measured.npz"

    def read(self) -> LoopState:
        """Return the state.

        Raises:
            RunError: there is no loop in this folder, a part of it is a link out of it, or loop.json is damaged or of
                a later version.
        """
        if not self.state_file.is_file():
            raise RunError(f"{self.path}: there is no loop here; begin one with: dpdrun loop start WAVEFORM -o DIR")
        reject_escaping_dirs(self.path, depth=3)  # rounds, each of them, and its runs
        content = RunFolder(self.path).read_json(self.state_file)
        version = content.get("schema_version")
        if version != SCHEMA_VERSION:
            raise RunError(
                f"{self.state_file}: schema_version {version}, but this dpdrun reads {SCHEMA_VERSION}; update dpdrun"
            )
        try:
            return LoopState.model_validate(content)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise RunError(f"{self.state_file}: {where}: {first['msg']}; the file is damaged") from None

    def write(self, state: LoopState) -> None:
        """Write the state atomically."""
        content = {**state.model_dump(mode="json"), "environment": environment()}
        write_text(self.state_file, json_text(content) + "\n")

    def waveform(self, number: int) -> Signal:
        """Return the waveform of a round, (N,) complex128. Raises RunError."""
        path = self.round(number) / "waveform.npy"
        try:
            return np.asarray(np.load(path, allow_pickle=False), np.complex128)
        except (OSError, ValueError) as error:
            raise RunError(f"{path}: cannot be read: {error}") from None

    def write_waveform(self, number: int, u: Signal) -> None:
        """Write the waveform of a round as it was computed."""
        make_folder(self.round(number))
        with replacing(self.round(number) / "waveform.npy") as temporary, temporary.open("wb") as file:
            np.save(file, u)

    def measured(self, number: int) -> tuple[int, Signal, Signal]:
        """Return which sample of the waveform x[0] of a round is, and x and y as measured. Raises RunError."""
        path = self.measured_file(number)
        try:
            with np.load(path, allow_pickle=False) as content:
                return int(content["first"]), content["x"], content["y"]
        except (OSError, ValueError, KeyError) as error:
            raise RunError(f"{path}: cannot be read: {error}") from None

    def write_measured(self, number: int, first: int, x: Signal, y: Signal, rates: dict[str, float]) -> None:
        """Write the aligned capture of a round."""
        stated: dict[str, Any] = {name: np.array(rate) for name, rate in rates.items()}
        with replacing(self.measured_file(number)) as temporary, temporary.open("wb") as file:
            np.savez(file, x=x, y=y, first=np.array(first), **stated)

    def remove_runs(self, number: int) -> None:
        """Remove what method model trained on a round."""
        for task in ("pa", "dpd"):
            shutil.rmtree(self.round(number) / task, ignore_errors=True)

    def remove_round(self, number: int, waveform: str) -> None:
        """Remove a round that was not measured, with its waveform."""
        shutil.rmtree(self.round(number), ignore_errors=True)
        (self.path / waveform).unlink(missing_ok=True)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other processes from changing this loop. Raises RunError where one does."""
        run = RunFolder(self.path)
        if run.is_locked():
            raise RunError(f"{self.path}: another process is working on this loop; wait for it")
        with run.lock():
            yield
