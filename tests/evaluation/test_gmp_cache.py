"""Coefficients of fitted gmp models on disk: what is read back, and that nothing else is."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from dpdrun.evaluation import gmp_cache
from dpdrun.models import gmp
from dpdrun.recipe.schema import GMPModel


def model(order: int = 3, seed: int | None = None) -> gmp.Model:
    made = gmp.Model(GMPModel(kind="gmp", order=order, delays=2, cross=0), scale_x=1.0, scale_y=2.0)
    if seed is not None:
        with torch.no_grad():
            made.aligned.copy_(torch.randn(made.aligned.shape, generator=torch.Generator().manual_seed(seed)))
    return made


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DPDRUN_CACHE", str(tmp_path))
    monkeypatch.setattr(gmp_cache, "MOST_FILES", 3)
    return tmp_path / "gmp"


def test_coefficients_come_back_to_the_bit_under_their_key_alone(folder: Path) -> None:
    fitted, again = model(seed=1), model()
    gmp_cache.keep("a", fitted)
    assert gmp_cache.load("a", again)
    assert torch.equal(again.aligned, fitted.aligned)
    assert not gmp_cache.load("b", model())


def test_damaged_and_foreign_files_are_ignored(folder: Path) -> None:
    gmp_cache.keep("a", model(seed=1))
    assert not gmp_cache.load("a", model(order=5))
    (file,) = folder.iterdir()
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    assert not gmp_cache.load("a", model())
    bad = model()
    with torch.no_grad():
        bad.aligned.fill_(torch.nan)
    gmp_cache.keep("a", bad)
    assert not gmp_cache.load("a", model())


def test_the_oldest_goes_and_a_folder_that_cannot_be_written_is_no_error(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key in "abcde":
        gmp_cache.keep(key, model(seed=1))
    assert len(list(folder.iterdir())) == 3
    monkeypatch.setenv("DPDRUN_CACHE", str(next(folder.iterdir())))  # a file
    gmp_cache.keep("a", model(seed=1))
    assert not gmp_cache.load("a", model())


def test_another_version_or_no_cache_is_a_miss(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gmp_cache.keep("a", model(seed=1))
    with monkeypatch.context() as patch:
        patch.setattr(gmp_cache, "__version__", "0.0")
        assert not gmp_cache.load("a", model())
    monkeypatch.setattr(gmp_cache, "MOST_FILES", 0)
    assert not gmp_cache.load("a", model())
