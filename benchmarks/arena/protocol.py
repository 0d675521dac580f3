"""What the Arena fixes on its board apa-200mhz-b: data and split, frozen amplifier, limiter, inference, judge.

The only file that imports opendpd (in the environment of `install`). Nothing here is our own measure: every number is
returned by a function of opendpd.core.arena_engine.

Inference is the Arena's `offline_output`: windows of 200 samples every 100, each computed on its own, of which the
central 100 are kept and joined. An output sample has at least 50 samples before and after it in its window. Each window
begins with silence, so a model with `context` and `lookahead` of at most 50 samples gives what it gives on the whole
record (`seam_db` measures this), and a model that sees further is cut.

Shapes: N samples; I/Q as (N, 2) float32.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from opendpd.core import arena, arena_engine
from torch import nn

from benchmarks.arena.board import GAIN, PARTS, PEAK, worse_aclr_db

BOARD = "apa-200mhz-b"
REACH = 50  # samples that every output has before and after it in its window
LABEL = "unofficial, arena judge"
Waveform = NDArray[np.float32]


@dataclass(frozen=True)
class Score:
    """One predistorter on the test part. ACLR is that of the amplifier's output, its worse side."""

    nmse_db: float
    evm_db: float
    aclr_db: float
    power_error_db: float
    limited_share: float  # of the predistorter's samples above the peak limit


class Arena:
    """The board: `x_train`, `x_val` for training and selection; the test part is read by `judge` alone."""

    def __init__(self) -> None:
        self.condition = arena_engine.Condition(BOARD, "cpu")
        self.gain = self.condition.gain
        self.peak = self.condition.peak
        self.x_train: Waveform = self.condition.data["x_train"]
        self.x_val: Waveform = self.condition.data["x_val"]
        spans = self.condition.manifest["split"]["boundaries"]
        if (self.gain, self.peak) != (GAIN, PEAK) or any(tuple(spans[name]) != PARTS[name] for name in PARTS):
            raise ValueError("benchmarks/arena/board.py does not say what this wheel says")

    @property
    def amplifier(self) -> nn.Module:
        """The frozen TRes-GRU of 4,871 parameters: (B, T, 2) -> (B, T, 2), needs one sample ahead and 16 beside."""
        module: nn.Module = self.condition.teacher
        return module

    @cached_property
    def baseline(self) -> Score:
        """The test part with no predistorter, only a constant complex gain."""
        return _score(self.condition.baseline_metrics()["pa"], limited_share=0.0)

    def validate(self, model: nn.Module) -> dict[str, float]:
        """What the Arena selects checkpoints by; the validation part has no complete symbol, hence no EVM."""
        sent = arena_engine.limit_array(arena_engine.offline_output(model, self.x_val), self.peak)
        received = arena_engine.pa_output(self.condition.teacher, sent)
        return {
            name: float(value) for name, value in arena_engine.validation_objective(self.condition, received).items()
        }

    def judge(self, model: nn.Module) -> Score:
        """Score a trained model on the test part. The key `gru` only chooses windows instead of a stream."""
        case = arena_engine.judge_case(self.condition, model, "gru")
        return _score(case["judges"][0], limited_share=float(case["limited_fraction"]))

    def seam_db(self, model: nn.Module) -> float:
        """What cutting into windows changes on the validation part, against one pass over the record [dB]."""
        cut = arena_engine.offline_output(model, self.x_val)
        with torch.no_grad():
            whole = model(torch.from_numpy(self.x_val)[None])[0].numpy()
        change = float(np.square(cut - whole)[REACH:-REACH].sum())
        return 10 * float(np.log10(max(change, 1e-30) / float(np.square(whole).sum())))

    def least_squares(self, key: str, budget: int) -> tuple[Score, int]:
        """A row of their own table that is fitted in seconds (`mp_ls`, `gmp_ls`), fitted and judged by their code."""
        presets = {"mp_ls": arena.MP_PRESETS, "gmp_ls": arena.GMP_PRESETS}[key]
        with TemporaryDirectory() as folder:
            model, _ = arena_engine.fit_polynomial(self.condition, key, presets[budget], Path(folder), _silent)
            case = arena_engine.judge_case(self.condition, model, key)
        return _score(case["judges"][0], float(case["limited_fraction"])), parameters(model)

    def published(self, key: str, budget: int) -> dict[str, Any]:
        """Mean and seed spread of a row of the table that the wheel ships."""
        table = json.loads((arena.ASSETS / arena.RESULTS_FILE).read_text())
        rows = [row for row in table["rows"] if row["backbone"] == key]
        entry: dict[str, Any] = next(each for each in rows[0]["budgets"] if each["budget"] == budget)
        return entry

    def rows(self, budget: int) -> dict[str, tuple[float, float]]:
        """EVM and worse-side ACLR [dB] of every row of that table with at most `budget` parameters, by backbone."""
        table = json.loads((arena.ASSETS / arena.RESULTS_FILE).read_text())
        entries = ((row["backbone"], entry) for row in table["rows"] for entry in row["budgets"])
        return {
            name: (entry["metrics"]["evm_db"], worse_aclr_db(entry["metrics"]))
            for name, entry in entries
            if entry["budget"] == budget and entry["metrics"] is not None
        }


def parameters(model: nn.Module) -> int:
    """Counted as the Arena does: every element of every parameter; buffers are free."""
    return int(arena_engine.parameter_count(model))


def _score(metrics: dict[str, float], limited_share: float) -> Score:
    worse = max(metrics["aclr_l_db"], metrics["aclr_r_db"])
    return Score(metrics["nmse_db"], metrics["evm_db"], worse, metrics["power_error_db"], limited_share)


def _silent(*_: object) -> None:
    pass
