"""TensorBoard event files, written here by torch's own writer."""

from __future__ import annotations

import builtins
import math
from pathlib import Path
from typing import Any

import pytest

from dpdrun.diagnosis.logs.facts import facts_of_log
from dpdrun.diagnosis.logs.names import Asked, parse_map
from dpdrun.diagnosis.logs.tensorboard_log import read
from dpdrun.errors import DataError


def events(folder: Path, steps: range, *, suffix: str = "", **series: Any) -> Path:
    import numpy as np
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(str(folder), filename_suffix=suffix)
    for step in steps:
        for tag, value in series.items():
            writer.add_scalar(tag.replace("__", "/"), value(step), step, new_style=tag.endswith("norm"))
    writer.add_histogram("weights", np.arange(10.0), 1)
    writer.add_text("note", "text", 1)
    writer.close()
    return folder


def test_scalars_of_both_styles(tmp_path: Path) -> None:
    folder = events(tmp_path / "run", range(1, 31), train__loss=lambda s: 1 / s, train__grad_norm=lambda s: s / 4,
                    lr=lambda s: 0.5, epoch=lambda s: s // 10)  # fmt: skip
    (file,) = folder.iterdir()
    for path in (folder, file):
        source = read(path, Asked())
        facts = facts_of_log(source, Asked())
        assert facts.step == list(range(1, 31))
        assert facts.grad_norm == [step / 4 for step in range(1, 31)]
        assert facts.loss[3] == 0.25
        assert set(facts.lr) == {0.5}
        assert source.found == {"loss": "train/loss", "grad_norm": "train/grad_norm", "lr": "lr"}
        assert source.unit == "step"


def test_every_value_is_kept_and_nan_comes_through(tmp_path: Path) -> None:
    """More than the 10,000 of which TensorBoard keeps a random sample."""
    folder = events(tmp_path / "run", range(12_000), loss=lambda s: math.nan if s == 11_999 else 1.0)
    log = read(folder, Asked())
    assert log.columns["loss"].steps == list(range(12_000))
    assert math.isnan(log.columns["loss"].values[-1])


def test_a_resumed_run_has_two_files(tmp_path: Path) -> None:
    events(tmp_path, range(1, 21), suffix=".a", loss=lambda s: 1.0)
    events(tmp_path, range(11, 31), suffix=".b", loss=lambda s: 2.0)
    log = read(tmp_path, Asked())
    assert log.columns["loss"].steps == list(range(1, 31))
    assert log.columns["loss"].values[9:11] == [1.0, 2.0]
    assert "2 event files are read as one resumed run" in log.notes


def test_files_of_the_same_second_are_read_as_they_were_begun(tmp_path: Path) -> None:
    name = "events.out.tfevents.1700000000.host.1."
    for number, value in ((9, 1.0), (10, 2.0)):
        (file,) = events(tmp_path / str(number), range(1, 4), loss=lambda s, value=value: value).iterdir()
        file.rename(tmp_path / f"{name}{number}")
        (tmp_path / str(number)).rmdir()
    assert read(tmp_path, Asked()).columns["loss"].values == [2.0, 2.0, 2.0]


def test_map_names_tags(tmp_path: Path) -> None:
    folder = events(tmp_path, range(3), a=lambda s: s, b=lambda s: -s)
    log = read(folder, parse_map(["loss=a,step=b"]))
    assert log.columns["loss"].values == [0.0, 1.0, 2.0]
    assert any("every event has its step" in note for note in log.notes)


def test_no_scalars(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no scalars in 1 event file"):
        read(events(tmp_path, range(0)), Asked())


def test_a_torn_file_gives_its_complete_records(tmp_path: Path) -> None:
    (file,) = events(tmp_path, range(1, 101), loss=lambda s: s).iterdir()
    file.write_bytes(file.read_bytes()[:2000])
    found = read(tmp_path, Asked()).columns["loss"]
    assert 10 < len(found) < 100
    assert found.steps == list(range(1, len(found) + 1))


def test_without_tensorboard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any, **named: Any) -> Any:
        if name.startswith("tensorboard"):
            raise ImportError(name)
        return real(name, *rest, **named)

    path = tmp_path / "events.out.tfevents.1"
    path.write_bytes(b"x")
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(DataError, match=r"pip install 'dpdrun\[tensorboard\]'"):
        read(path, Asked())
