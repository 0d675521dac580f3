"""Which trial is chosen."""

from __future__ import annotations

from pathlib import Path

import pytest

from dpdrun.auto.tried import Candidate, judge, pa_model
from dpdrun.recipe.loader import load_text
from dpdrun.run.folder import RunFolder

RECIPE = load_text("task: pa\ndata: {source: synthetic/mild}\nmodel: {kind: gmp}\n")


def run(path: Path, weights: bytes) -> RunFolder:
    path.mkdir()
    (path / "plan.json").write_text("{}")
    (path / "model.safetensors").write_bytes(weights)
    return RunFolder(path)


@pytest.mark.parametrize(
    ("before", "score_db", "chosen"),
    [(b"new", -40.0, "new"), (b"old", -39.9, "old"), (b"old", -39.7, "new"), (b"", -39.9, "new")],
)
def test_the_pa_model_in_use_stays_unless_it_is_clearly_worse(
    before: bytes, score_db: float, chosen: str, tmp_path: Path
) -> None:
    candidates = [Candidate(run(tmp_path / name, name.encode()), RECIPE, name, score)
                  for name, score in (("new", -40.0), ("old", score_db))]  # fmt: skip
    assert pa_model(candidates, run(tmp_path / "pa", before)).kind == chosen


def test_the_first_pa_model_is_the_best(tmp_path: Path) -> None:
    best = Candidate(run(tmp_path / "a", b"a"), RECIPE, "gmp", -40.0)
    assert pa_model([best], RunFolder(tmp_path / "pa")) is best


@pytest.mark.parametrize(("gmp_db", "chosen"), [(-42.9, "gru"), (-43.1, "gmp")])
def test_a_gmp_is_predistorted_only_where_it_is_clearly_better(gmp_db: float, chosen: str, tmp_path: Path) -> None:
    candidates = [Candidate(run(tmp_path / name, name.encode()), RECIPE, name, score)
                  for name, score in (("gmp", gmp_db), ("gru", -40.0))]  # fmt: skip
    assert pa_model(candidates, RunFolder(tmp_path / "pa")).kind == chosen


@pytest.mark.parametrize(
    ("pa", "others", "chosen"),
    [("transformer", {"gmp": -39.0, "gru": -32.0}, "gru"),
     ("gmp", {"gru": -32.0, "transformer": -33.0}, "transformer"), ("gru", {"gmp": -39.0}, "gmp"),
     ("gru", {}, None)],
)  # fmt: skip
def test_a_network_of_another_kind_judges(
    pa: str, others: dict[str, float], chosen: str | None, tmp_path: Path
) -> None:
    first, *rest = [Candidate(RunFolder(tmp_path / kind), RECIPE, kind, score)
                    for kind, score in {pa: -40.0, **others}.items()]  # fmt: skip
    found = judge([first, *rest], first)
    assert (found and found.kind) == chosen
