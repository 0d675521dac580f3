"""Workers that are killed at any moment: no trial is lost, none counted twice, and the bits are those without it."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.commands_run import DPDRUN, ended, small_recipe, started

KILLS = int(os.environ.get("DPDRUN_TEST_KILLS", "8"))
WORDS = (*DPDRUN, "sweep", "small.yaml", "--over", "model.d_model=4,8", "--over", "optim.lr=1e-2,3e-2",
         "--seeds", str(max(2, KILLS // 4)),  # a sweep long enough for so many
         "--set", "train.checkpoint_every=20", "--workers", "2")  # fmt: skip


def results(folder: Path) -> dict[str, tuple[bytes, float]]:
    """Weights and validation score of each trial."""
    found = {}
    for path in (folder / "runs" / "small-sweep" / "trials").iterdir():
        report = json.loads((path / "report.json").read_text())
        found[path.name] = ((path / "model.safetensors").read_bytes(), report["splits"]["val"]["nmse_db"])
    return found


def events(folder: Path) -> list[dict[str, str]]:
    """The complete lines of the journal."""
    text = (folder / "runs" / "small-sweep" / "journal.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0])
def test_kills_change_nothing(seed: int, tmp_path: Path) -> None:
    (tmp_path / "calm").mkdir()
    (tmp_path / "stormy").mkdir()
    for name in ("calm", "stormy"):
        small_recipe(tmp_path / name, steps=480, every=40)
    code, _, err = ended(started(*WORDS, cwd=tmp_path / "calm"))
    assert code == 0, err
    expected = results(tmp_path / "calm")

    rng, killed, process = random.Random(seed), list[int](), started(*WORDS, cwd=tmp_path / "stormy")
    place = tmp_path / "stormy" / "runs" / "small-sweep"
    while process.poll() is None and len(killed) < KILLS:
        time.sleep(rng.uniform(0.0, 3.0))
        for path in sorted((place / "workers").glob("*.json"), key=lambda _: rng.random()):
            with suppress(OSError, ValueError):
                pid = int(json.loads(path.read_text())["pid"])
                if pid not in killed:
                    os.kill(pid, signal.SIGKILL)
                    killed.append(pid)
                    break
    code, out, err = ended(process)
    assert code == 0, err
    assert len(killed) == KILLS, "all in time"
    lost = [each for each in events(tmp_path / "stormy") if each["event"] == "lost"]
    print(f"{len(killed)} kills, {len(lost)} of them in a trial, which was given back")
    assert not [each for each in events(tmp_path / "stormy") if each["event"] in ("failed", "pruned")]
    found = results(tmp_path / "stormy")
    assert set(found) == set(expected)
    assert found == expected
    outcomes = [each["id"] for each in events(tmp_path / "stormy") if each["event"] == "finished"]
    assert sorted(outcomes) == sorted(expected), "each trial once"
    assert sum(line.startswith("point ") and ", seed " in line for line in out.splitlines()) == len(expected)
