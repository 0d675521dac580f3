"""`dpdrun auto` is killed while it searches: the same command continues, and finished trials keep their weights."""

from __future__ import annotations

import json
import shlex
import signal
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dpdrun.auto.search import TIME_UP
from tests.commands_run import DPDRUN, ended, started

LIMIT_S = 600.0
WORDS = (
    *DPDRUN,
    "auto",
    "capture.npz",
    "--sample-rate-hz",
    "1e6",
    "--bandwidth-hz",
    "4e5",
    "--budget",
    "parameters=200",
    "-o",
    "product",
    "--minutes",
    "5",
)


def capture(folder: Path) -> None:
    rng = np.random.default_rng(0)
    x = 0.1 * np.convolve(rng.normal(size=3008) + 1j * rng.normal(size=3008), np.hanning(9), mode="valid")
    np.savez(folder / "capture.npz", x=x, y=2.0 * x * (1 - 0.3 * np.abs(x) ** 2))


def wait_for(condition: Callable[[], bool]) -> None:
    limit = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.1)


def finished(folder: Path) -> dict[str, bytes]:
    """The weights of each finished trial."""
    models = folder.glob("product/search/*/trials/*/model.safetensors")
    return {str(path): path.read_bytes() for path in models if path.with_name("report.json").is_file()}


@pytest.mark.slow
def test_continues(tmp_path: Path) -> None:
    capture(tmp_path)
    done: dict[str, bytes] = {}
    for sent, code in ((signal.SIGKILL, -9), (signal.SIGINT, 130), (signal.SIGTERM, 75)):
        process = started(*WORDS, cwd=tmp_path)
        wait_for(lambda process=process, done=done: process.poll() is not None or len(finished(tmp_path)) > len(done))
        process.send_signal(sent)
        exit_code, _, err = ended(process)
        assert exit_code == code, err
        assert sent == signal.SIGKILL or f"to continue it:\n  dpdrun {shlex.join(WORDS[3:])}" in err
        workers = tmp_path.glob("product/search/*/workers/*.json")
        wait_for(lambda workers=list(workers): not any(each.exists() for each in workers))  # they end with the command
        done = finished(tmp_path)

    exit_code, _, err = ended(started(*WORDS, cwd=tmp_path))
    assert exit_code == 0, err
    after = finished(tmp_path)
    assert {path: after[path] for path in done} == done
    content = json.loads((tmp_path / "product" / "auto.json").read_text())
    assert {(each["status"], each["reason"]) for each in content["trials"]} <= {("finished", ""), ("pruned", TIME_UP)}
    assert (tmp_path / "product" / content["exported"]["path"]).is_file()
