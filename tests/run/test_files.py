"""Paths that a user wrote."""

from __future__ import annotations

from pathlib import Path

import pytest

from dpdrun.data.sources import load_capture, locate_source
from dpdrun.errors import DataError, RecipeError, RunError
from dpdrun.plan.prepare import prepare
from dpdrun.recipe.loader import load_text
from dpdrun.recipe.schema import DataSection
from dpdrun.run.files import expand_user, is_there
from dpdrun.run.folder import RunFolder

LONG = "x" * 300
IMPOSSIBLE = ["~nosuchuser/x.npz", LONG, f"{LONG}/x.npz"]


def test_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert expand_user("~/x") == tmp_path / "x"
    assert expand_user("~nosuchuser/x") == Path("~nosuchuser/x")
    assert is_there(expand_user("~"))
    assert not is_there(Path("x\0"))


@pytest.mark.parametrize("text", IMPOSSIBLE)
def test_no_path_is_too_odd_to_be_refused_in_words(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert not is_there(expand_user(text))
    assert locate_source(text, recipe=tmp_path / "recipe.yaml") == str(tmp_path / text)
    with pytest.raises(DataError, match="no such file or folder"):
        load_capture(DataSection(source=text))
    with pytest.raises(RunError, match="no such run folder"):
        RunFolder.open(Path(text))


@pytest.mark.parametrize("pa", IMPOSSIBLE)
def test_a_pa_run_that_cannot_be_is_refused_at_its_line(
    pa: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = f"task: dpd\npa: {pa}\ndata:\n  source: synthetic/mild\nmodel:\n  kind: gru\n  hidden: 2\n"
    with pytest.raises(RecipeError, match=r"r\.yaml:2:1: pa: .*: no such run folder; train the PA model first"):
        prepare(load_text(text, tmp_path / "r.yaml"))
