"""Workers of a sweep that are alive, and that end with the sweep which started them."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import pytest

from dpdrun.sweep import presence
from dpdrun.sweep.presence import OWNER_VARIABLE, Presence


@pytest.mark.parametrize("owner", ["own parent", "another process", None])
def test_a_worker_ends_when_its_sweep_has_ended_even_before_it_was_ready(
    owner: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    beats, signals = threading.Semaphore(0), list[int]()
    monkeypatch.setattr(presence, "BEAT_S", 0.001)
    monkeypatch.setattr(presence.os, "utime", lambda _: beats.release())
    monkeypatch.setattr(presence.os, "kill", lambda _, number: signals.append(number))
    monkeypatch.delenv(OWNER_VARIABLE, raising=False)
    if owner is not None:
        monkeypatch.setenv(OWNER_VARIABLE, str(os.getppid() + (owner != "own parent")))
    with Presence(tmp_path).alive():
        for _ in range(3):  # of which two are complete
            assert beats.acquire(timeout=600)
    assert bool(signals) == (owner == "another process")
    assert set(signals) <= {signal.SIGTERM}
