"""From the findings of a run to a repaired recipe, and whether a comparison keeps it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from dpdrun.diagnosis import repair
from dpdrun.diagnosis.diagnose import diagnose
from dpdrun.diagnosis.repair import Comparison, next_attempt, propose
from dpdrun.errors import RunError
from dpdrun.plan.lint import lint
from dpdrun.recipe.loader import load_recipe, load_text
from dpdrun.rules.engine import Finding
from dpdrun.run.folder import RunFolder
from dpdrun.training import job

FAULTY = """\
# the user's own words stay
task: pa
data: {{source: {source}, sample_rate_hz: 1e6}}
model: {{kind: transformer, d_model: 8, layers: 1, heads: 2, window: 8, embedding: layernorm_mlp, dropout: 0.1}}
optim: {{lr: 1e-3, beta2: 0.95, warmup: off, clip_norm: 1.0, weight_decay: off, schedule: cosine}}
train: {{max_steps: 60, batch_size: 4, frame: 64, burn_in: 16, compile: off}}  # and here
"""


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import numpy as np

    folder = tmp_path_factory.mktemp("repair")
    rng = np.random.default_rng(0)
    x = 0.1 * np.convolve(rng.normal(size=3008) + 1j * rng.normal(size=3008), np.hanning(9), mode="valid")
    np.savez(folder / "capture.npz", x=x, y=2.0 * x * (1 - 0.3 * np.abs(x) ** 2))
    path = folder / "faulty.yaml"
    path.write_text(FAULTY.format(source="capture.npz"))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)  # a relative path, which holds nowhere else
        job.train(load_recipe(path), folder / "run")
    return folder / "run"


def said(monkeypatch: pytest.MonkeyPatch, findings: list[Finding]) -> None:
    """The diagnosis of the run is replaced by these findings."""

    class Said:
        def __init__(self) -> None:
            self.findings = findings

    monkeypatch.setattr(repair, "diagnose", lambda _: Said())


def test_the_causes_in_the_recipe_are_mended_and_its_comments_stay(
    faulty: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said(monkeypatch, [])
    this = propose(faulty)
    assert {"MD102", "RG103"} <= {finding.code for finding in this.applied}
    model = this.after.recipe.model
    assert (model.embedding, model.dropout) == ("linear", "off")  # type: ignore[union-attr]
    assert "# the user's own words stay" in this.after.text
    assert "# and here" in this.after.text
    assert Path(this.after.recipe.data.source).is_file(), "the recipe trains from anywhere"


def test_what_the_run_showed_is_added_where_the_recipe_says_nothing(
    faulty: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = [
        Finding("too slow", {"train.batch_size": 8}, "warning", code="XX201"),
        Finding("also", {"train.batch_size": 16}, "warning", code="XX202"),  # the key is taken
        Finding("a word", {"train.seed": 1}, "info", code="XX203"),  # info is no fault
        Finding("scores", {"train.eval_on": "frame"}, "error", code="XX204"),  # an easier score is no repair
        Finding("impossible", {"model.heads": 3}, "error", code="XX205"),
    ]
    said(monkeypatch, run)
    this = propose(faulty)
    assert this.after.recipe.train.batch_size == 8
    assert this.after.recipe.train.eval_on == "record"
    assert [finding.code for finding in this.left] == ["XX202", "XX204", "XX205"]
    assert propose(faulty, rejected=["XX201"]).after.recipe.train.batch_size == 16


def with_a_rate_too_high(run: Path, lr: float) -> None:
    """Make of a run one whose rate was far too high and whose loss left its minimum; without training it."""
    recipe = run / "recipe.yaml"
    recipe.write_text("rules: note\n" + recipe.read_text().replace("lr: 1e-3", f"lr: {lr:g}"))
    plan = json.loads((run / "plan.json").read_text())
    plan["recipe"]["optim"]["lr"] = plan["lr"] = lr
    plan["recipe"]["rules"] = "note"
    (run / "plan.json").write_text(json.dumps(plan))
    metrics = run / "metrics.jsonl"
    lines = [json.loads(line) for line in metrics.read_text().splitlines()]
    for line in lines:
        if line["kind"] == "step":
            line["lr"], line["lr_planned"] = lr, lr
            line["loss"] = (0.1 if line["step"] < 30 else 100.0) * (1.0 + 0.1 * (line["step"] % 3))
    metrics.write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_the_rate_of_diagnose_and_of_fix_is_that_of_lint(faulty: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(faulty, tmp_path / "run"))
    with_a_rate_too_high(run, 0.5)
    diagnosed = {finding.patch["optim.lr"] for finding in diagnose(run).findings if "optim.lr" in finding.patch}
    recipe = load_recipe(run / "recipe.yaml")
    linted = {finding.patch["optim.lr"] for finding in lint(recipe).findings if "optim.lr" in finding.patch}
    assert len(diagnosed) == 1
    assert diagnosed == linted == {propose(run).after.recipe.optim.lr}
    advice = " ".join(f.advice for f in diagnose(run).findings if "optim.lr" in f.patch)
    assert f"{diagnosed.pop():g}" in advice


def decided(folder: Path, number: int, codes: list[str], *, kept: bool) -> None:
    place = folder / "repairs" / str(number)
    place.mkdir(parents=True)
    (place / "comparison.json").write_text(json.dumps({"codes": codes, "kept": kept}))


def test_what_was_rejected_together_is_tried_one_by_one(
    faulty: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Path(shutil.copytree(faulty, tmp_path / "run"))
    said(monkeypatch, [])
    first = next_attempt(run)
    assert first.folder == run / "repairs" / "1"
    codes = [finding.code for finding in first.repair.applied]
    assert len(codes) >= 2
    decided(run, 1, codes, kept=False)
    second = next_attempt(run)
    assert second.folder.name == "2"
    assert [finding.code for finding in second.repair.applied] == codes[:1]
    decided(run, 2, codes[:1], kept=False)
    third = next_attempt(run)
    assert third.rejected == tuple(codes[:1])
    assert len(third.repair.applied) == 1
    assert third.repair.applied[0].code != codes[0]


def test_an_undecided_attempt_is_taken_up_again(faulty: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Path(shutil.copytree(faulty, tmp_path / "run"))
    said(monkeypatch, [])
    first = next_attempt(run)
    first.folder.mkdir(parents=True)
    first.recipe.write_text(first.repair.after.text)
    assert next_attempt(run).folder == first.folder
    first.recipe.write_text("other")
    assert next_attempt(run).folder.name == "2"


def test_other_folders_among_the_repairs_are_left_alone(
    faulty: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Path(shutil.copytree(faulty, tmp_path / "run"))
    said(monkeypatch, [])
    for name in ("1.bak", "notes", "7 old"):
        (run / "repairs" / name).mkdir(parents=True)
    assert next_attempt(run).folder == run / "repairs" / "1"
    decided(run, 3, ["XX201"], kept=True)
    assert next_attempt(run).folder == run / "repairs" / "4"


def test_nothing_to_fix(faulty: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said(monkeypatch, [])
    monkeypatch.setattr(repair, "lint", lambda *_: type("Lint", (), {"findings": []})())
    with pytest.raises(RunError, match="nothing to fix"):
        next_attempt(faulty)
    said(monkeypatch, [Finding("no cure", {}, "error", code="XX206")])
    with pytest.raises(RunError, match="no recipe change fixes XX206"):
        next_attempt(faulty)


@pytest.mark.parametrize(
    ("before", "after", "kept"),
    [
        ([-30.0], [-30.5], True),
        ([-30.0], [-29.5], False),
        ([-30.0], [-30.0], False),
        ([-30.0, -30.2, -29.9], [-31.0, -31.1, -31.2], True),
        ([-30.0, -30.2, -29.9], [-33.0, -30.1, -29.0], False),  # one lucky seed
    ],
)
def test_a_gain_is_kept_when_it_is_beyond_its_own_scatter(before: list[float], after: list[float], kept: bool) -> None:
    this = Comparison(list(range(len(before))), before, after)
    assert this.kept is kept
    assert this.gain_db == pytest.approx(sum(before) / len(before) - sum(after) / len(after))


def test_recipe_of_the_attempt_loads(faulty: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said(monkeypatch, [])
    attempt = next_attempt(faulty)
    assert load_text(attempt.repair.after.text).recipe == attempt.repair.after.recipe
    assert RunFolder.open(faulty).recipe.is_file()
