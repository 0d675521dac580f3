"""What the rules see of a run, in a few kilobytes: `pack` and `unpack` RunFacts; `prefix`, what was known at a step.

All findings of the study are made from unpacked logs, so that rules and thresholds can be judged again without
training. Floats are single precision. The logs of all trials are one archive, `logs.tar.xz`; those of a study that is
still running are lines of `logs.jsonl` next to it, until `Logs.seal`.
"""

from __future__ import annotations

import base64
import io
import json
import tarfile
import zlib
from collections.abc import Mapping
from dataclasses import fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from dpdrun.rules.facts.run import RunFacts
from dpdrun.rules.facts.signal import SignalFacts
from dpdrun.run.files import decode_numbers, encode_numbers, replacing

STEPS = ("step", "eval_step", "group_step")  # rising integers, kept as differences: a plain count packs to nothing
FLOATS = ("lr", "lr_planned", "loss", "grad_norm", "clip_norm", "eval_nmse_db")
BY_PART = ("group_grad", "group_weight", "group_update")
BY_STEP = ("step", "lr", "lr_planned", "loss", "grad_norm", "clip_norm", "clipped")
AT_THE_END = ("one_tap_db", "gmp_db", "floor_db", "signal")  # of report.json, which a run that goes on has not


def pack(facts: RunFacts) -> str:
    """Return facts as text of ASCII letters; see `unpack`."""
    return base64.b85encode(zlib.compress(_encode(facts), 9)).decode()


def unpack(text: str) -> RunFacts:
    """Return what `pack` was given, in single precision."""
    return _decode(_content(text))


def _content(text: str) -> bytes:
    return zlib.decompress(base64.b85decode(text))


def _encode(facts: RunFacts) -> bytes:
    columns: list[np.ndarray] = [np.diff(getattr(facts, name), prepend=0).astype("<i4") for name in STEPS]
    columns += [np.asarray(getattr(facts, name), "<f4") for name in FLOATS]
    columns.append(np.asarray(facts.clipped, "<u1"))
    parts = {name: list(getattr(facts, name)) for name in BY_PART}
    for name, known in parts.items():
        columns += [np.asarray(getattr(facts, name)[part], "<f4") for part in known]
    kept = {*STEPS, *FLOATS, *BY_PART, "clipped", "signal", "deployment"}  # the last is of no training run
    rest = {each.name: getattr(facts, each.name) for each in fields(facts) if each.name not in kept}
    signal = _rounded(facts.signal.to_json()) if facts.signal else None
    sizes = [len(column) for column in columns]
    head = json.dumps(encode_numbers({"rest": rest, "signal": signal, "parts": parts, "sizes": sizes}))
    return head.encode() + b"\0" + b"".join(_planes(column) for column in columns)


def _decode(packed: bytes) -> RunFacts:
    head, _, body = packed.partition(b"\0")
    content = json.loads(head)
    sizes, at = iter(content["sizes"]), 0

    def column(dtype: str) -> np.ndarray:
        nonlocal at
        width = np.dtype(dtype).itemsize
        planes = np.frombuffer(body, "<u1", next(sizes) * width, at).reshape(width, -1)
        at += planes.size
        return np.ascontiguousarray(planes.T).reshape(-1).view(dtype)

    known: dict[str, Any] = {name: np.cumsum(column("<i4")).tolist() for name in STEPS}
    known |= {name: column("<f4").astype(float).tolist() for name in FLOATS}
    known["clipped"] = column("<u1").astype(bool).tolist()
    for name, parts in content["parts"].items():
        known[name] = {part: column("<f4").astype(float).tolist() for part in parts}
    return RunFacts(**known, **decode_numbers(content["rest"]), signal=SignalFacts.from_json(content["signal"]))


def _planes(column: np.ndarray) -> bytes:
    """All first bytes, then all second ones, ...: those of like weight are alike, and pack better."""
    return np.ascontiguousarray(column.view("<u1").reshape(-1, column.itemsize).T).tobytes()


def _rounded(content: Mapping[str, Any]) -> dict[str, Any]:
    """The facts of a signal with six digits; the rules ask for tenths of a decibel."""

    def short(value: Any) -> Any:
        if isinstance(value, list):
            return [short(item) for item in value]
        return float(f"{value:.6g}") if isinstance(value, float) else value

    return {name: short(value) for name, value in content.items()}


def prefix(facts: RunFacts, step: int) -> RunFacts:
    """What was known of a run after an optimizer step, while it went on."""
    steps = sum(each <= step for each in facts.step)
    evals = sum(each <= step for each in facts.eval_step)
    looks = sum(each <= step for each in facts.group_step)
    cut: dict[str, Any] = {name: getattr(facts, name)[:steps] for name in BY_STEP}
    cut |= {name: getattr(facts, name)[:evals] for name in ("eval_step", "eval_nmse_db")}
    cut["group_step"] = facts.group_step[:looks]
    for name in BY_PART:
        cut[name] = {part: values[:looks] for part, values in getattr(facts, name).items()} if looks else {}
    cut["still"] = {
        name: kept for name, seen in facts.still.items() if (kept := [each for each in seen if each <= step])
    }
    return replace(facts, **cut, **dict.fromkeys(AT_THE_END))


class Logs:
    """The logs of all trials.

    Args:
        archive: `logs.tar.xz`, a member for each trial `cell/kind/variant/seed`.
    """

    def __init__(self, archive: Path) -> None:
        self._archive, self._new = archive, archive.with_name("logs.jsonl")

    def add(self, name: str, text: str) -> None:
        """Append the log of one trial; of two with the same name the later counts."""
        with self._new.open("a", encoding="ascii") as file:
            file.write(json.dumps({"name": name, "log": text}) + "\n")

    def facts(self, name: str) -> RunFacts:
        """Return what the rules see of a trial. Raises KeyError when there is no such trial."""
        return _decode(self._contents[name])

    def seal(self) -> None:
        """Move the new logs into the archive. The same logs give the same file."""
        if not self._new.is_file():
            return
        with replacing(self._archive) as temporary, tarfile.open(temporary, "w:xz") as archive:
            for name, content in sorted(self._contents.items()):
                member = tarfile.TarInfo(name)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
        self._new.unlink()

    @cached_property
    def _contents(self) -> dict[str, bytes]:
        found = {}
        if self._archive.is_file():
            with tarfile.open(self._archive, "r:xz") as archive:
                for member in archive:
                    file = archive.extractfile(member)
                    assert file is not None, f"{member.name} is not a file"
                    found[member.name] = file.read()
        lines = self._new.read_text(encoding="ascii").splitlines(keepends=True) if self._new.is_file() else []
        entries = [json.loads(line) for line in lines if line.endswith("\n")]  # a torn last line does not count
        return found | {entry["name"]: _content(entry["log"]) for entry in entries}
