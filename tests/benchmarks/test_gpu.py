"""The study for machines with a GPU, as far as others can tell."""

from __future__ import annotations

import pytest
import torch

from benchmarks.gpu import run


def test_a_cell_trains_with_its_settings() -> None:
    cell = run.speed("quickstart", "cpu", "fp32", "off", batch=2, steps=2)
    assert cell["samples_per_s"] > 0
    assert "train.batch_size=2" in cell["command"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="of a machine without a GPU")
def test_without_a_gpu_it_says_so() -> None:
    with pytest.raises(SystemExit, match="needs a GPU"):
        run.gpu()


def test_the_table_has_a_row_for_each_cell() -> None:
    keys = [
        f"{recipe}/{'/'.join(cell)}/{batch}" for recipe in run.RECIPES for cell in run.CELLS for batch in run.BATCHES
    ]
    rows = run.table({key: {"samples_per_s": 5e6, "val_nmse_db": -30.0} for key in keys}).splitlines()
    assert len(rows) == 2 + len(run.RECIPES) * len(run.CELLS)
    assert "5,000" in rows[-1]
