"""What holds for the folder of a run that was interrupted, and for the run that continued it."""

from __future__ import annotations

import json
from typing import Any

from dpdrun.models import _tensors
from dpdrun.run.files import PARTIAL
from dpdrun.run.folder import RunFolder


def require_whole(run: RunFolder) -> None:
    """Every file that has its name is complete; of the log alone the last line may be torn."""
    for path in run.path.rglob("*"):
        if path.is_dir() or path.name.endswith(PARTIAL):
            continue
        if path.suffix == ".safetensors":
            _tensors.read(path)
        elif path.suffix == ".json":
            json.loads(path.read_text())
        elif path == run.metrics:
            for line in path.read_text().splitlines(keepends=True):
                assert not line.endswith("\n") or json.loads(line)
        else:
            assert path == run.recipe, path
            assert path.read_text().endswith("\n")


def log_of(run: RunFolder) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in run.metrics.read_text().splitlines()]
    return [{key: value for key, value in line.items() if key not in ("seconds", "step_s", "data_s")} for line in lines]


def require_same(run: RunFolder, straight: RunFolder) -> None:
    assert run.model.read_bytes() == straight.model.read_bytes()
    assert log_of(run) == log_of(straight)
    assert json.loads(run.report.read_text())["splits"] == json.loads(straight.report.read_text())["splits"]
    assert not [path for path in run.path.rglob("*") if path.name.endswith(PARTIAL)]
