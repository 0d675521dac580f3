"""`train`, its dry run, the probe and a pipeline take the same recipes, and refuse the same ones in the same words."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from dpdrun.commands import app
from dpdrun.data import sources
from dpdrun.data.capture import Part, SourceRecord
from dpdrun.errors import DpdrunError
from dpdrun.pipeline.document import is_pipeline
from dpdrun.recipe.loader import load_recipe
from dpdrun.recipe.schema import DataSection
from dpdrun.run.scores import WITH_PAST, chosen
from dpdrun.training import job, probe

ROOT = Path(__file__).parents[2]
SHIPPED = [path for path in sorted((ROOT / "recipes").rglob("*.yaml")) if not is_pipeline(path)]
LOOP = 2000
NET = "model: {kind: transformer, d_model: 4, layers: 1, heads: 2, window: 6}\n"
GMP = "model: {kind: gmp, order: 4, delays: 2, cross: 0}\n"
STEPS = "train: {max_steps: 8, batch_size: 4, frame: 32, compile: off"
PA = "task: pa\ndata: {source: record}\n"
DPD = "task: dpd\npa: out/amp\ndata: {source: record}\n"


class PreparedError(DpdrunError):
    """Ends a command where training or measuring would begin."""

    exit_code = 0


def prepared(*_: object, **__: object) -> None:
    raise PreparedError


def record(section: DataSection) -> SourceRecord:
    """Looped frames of a noisy amplifier: `record`, `loops` (its frames declared), `bare` (without a bandwidth)."""
    source = str(section.source)
    if source.startswith("synthetic/milk"):
        return real(section)
    rng = np.random.default_rng(0)
    spectrum = np.fft.fft(rng.standard_normal((20, LOOP)) + 1j * rng.standard_normal((20, LOOP)), axis=1)
    spectrum[:, 200:-200] *= 1e-4
    x = 0.1 * np.fft.ifft(spectrum, axis=1).ravel()
    noise = 1e-6 * (rng.standard_normal(x.size) + 1j * rng.standard_normal(x.size))
    whole = Part(x, 2.0 * x * (1 - 0.3 * np.abs(x) ** 2) + noise)
    cuts = [slice(a * LOOP, b * LOOP) for a, b in ((0, 12), (12, 16), (16, 20))]
    train, val, test = (Part(whole.x[cut], whole.y[cut]) for cut in cuts)
    name = Path(source).name
    return SourceRecord(
        name=source, records=(train, val, test), sample_rate_hz=1e6, bandwidth_hz=None if name == "bare" else 2e5,
        nperseg=LOOP if name == "loops" else None,
    )  # fmt: skip


real = sources.read_source


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty current folder, every capture in memory, and nothing that trains or measures."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sources, "read_source", record)
    monkeypatch.setattr(job, "_job", prepared)
    monkeypatch.setattr(probe, "probe", prepared)
    with sources.captures_kept():
        yield tmp_path


def dpdrun(*words: str) -> Result:
    result = CliRunner().invoke(app, words, env={"COLUMNS": "200"})
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def outcomes(here: Path, recipe: str = "recipe.yaml", *, through: str = "amp") -> dict[str, tuple[int, str]]:
    """Exit code and message by command; a pipeline has the recipe as a step of its own, its `pa` overridden."""
    loaded = load_recipe(recipe)
    other = DPD.replace("out/amp", "out/it") + GMP + "dpd: {learning: indirect}\n"
    for name, text in (("amp", PA + GMP), ("other", other)):
        (here / f"{name}.yaml").write_text(text.replace("record", loaded.recipe.data.source))
    is_pa = loaded.recipe.task == "pa"
    steps = f"it: {recipe}, other: other.yaml" if is_pa else f"{through}: amp.yaml, it: {recipe}"
    (here / "chain.yaml").write_text(f"task: pipeline\nsteps: {{{steps}}}\n")
    commands = {
        "train": ("train", recipe),
        "dry run": ("train", recipe, "--dry-run"),
        "probe": ("probe", recipe, "--time", "30s"),
        "pipeline": ("train", "chain.yaml", "--run-dir", "out"),
        "pipeline, dry run": ("train", "chain.yaml", "--run-dir", "out", "--dry-run"),
    }
    return {name: ((done := dpdrun(*words)).exit_code, done.stderr) for name, words in commands.items()}


def agreed(found: dict[str, tuple[int, str]]) -> tuple[int, str]:
    """The one outcome of all commands; where `pa` is wrong, without the place, which a pipeline overrides."""
    found = {name: (code, said.partition("pa: ")[2].partition("\n")[0] if "pa: " in said else said)
             for name, (code, said) in found.items()}  # fmt: skip
    assert len(set(found.values())) == 1, found
    return found["train"]


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_shipped_recipe(path: Path, here: Path, trained_pa: Callable[[Path, str], Path]) -> None:
    (here / path.name).write_text(path.read_text(encoding="utf-8"))
    asked = load_recipe(path.name).recipe
    if asked.task == "pa":
        assert agreed(outcomes(here, path.name)) == (0, "")
        return
    found = outcomes(here, path.name, through=Path(asked.pa).name)
    chain = [found.pop(name) for name in ("pipeline", "pipeline, dry run")]
    assert chain == [(0, ""), (0, "")], "it trains the PA model itself"
    assert agreed(found)[0] == 2, "its PA model is not trained yet"
    trained_pa(here / asked.pa, asked.data.source)
    found = outcomes(here, path.name, through=Path(asked.pa).name)
    assert agreed(found) == (0, "")


@pytest.fixture
def trained_pa(here: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Path, str], Path]:
    """Trains the PA model of `outcomes` in a folder."""

    def training(folder: Path, source: str) -> Path:
        (here / "amp.yaml").write_text((PA + GMP).replace("record", source))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(job, "_job", MAKE)
            job.train(load_recipe("amp.yaml"), folder)
        return folder

    return training


MAKE = job._job
REFUSED = {
    "spectral loss without bandwidth": (
        PA.replace("record", "bare") + NET + STEPS + ", loss: {in_band: 1, out_of_band: 1}}\n",
        "bare does not state the bandwidth of its signal; write data.bandwidth_hz",
    ),
    "frame longer than a loop": (
        PA.replace("record", "loops") + NET + STEPS.replace("32", "2400") + "}\n",
        "train.frame 2400 is longer than the loops of this capture; use at most 2000",
    ),
    "batch that does not divide": (
        PA + NET + STEPS.replace("batch_size: 4", "accumulate: 7") + "}\n",
        "train.accumulate 7 does not divide train.batch_size",
    ),
    "finish on loops that are too short": (
        PA.replace("record", "loops")
        + NET.replace("layers: 1", "layers: 17").replace("d_model: 4", "d_model: 2").replace("heads: 2", "heads: 1")
        .replace("window: 6", "window: 128")
        + "optim: {refine: lm}\n" + STEPS.replace("frame: 32", "frame: 256") + "}\n",
        "samples, but a record has 2,000; shorten model.window",
    ),
    "frame longer than the record": (
        PA + NET + STEPS.replace("frame: 32", "frame: 90000") + "}\n",
        "train.frame 90000 is longer than the training split",
    ),
    "unknown capture": (PA.replace("record", "synthetic/milk") + NET + STEPS + "}\n", "did you mean 'mild'"),
    "no GPU for fp16": (PA + NET + STEPS + ", precision: fp16}\n", "train.precision fp16 needs a GPU"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name: str, here: Path) -> None:
    text, why = REFUSED[name]
    (here / "recipe.yaml").write_text(text)
    before = sorted(here.rglob("*"))
    code, message = agreed(outcomes(here))
    assert code == 2
    assert why in message
    assert {path.name for path in set(here.rglob("*")) - set(before)} == {"amp.yaml", "other.yaml", "chain.yaml"}


def test_a_pa_model_that_is_not_there(here: Path) -> None:
    (here / "recipe.yaml").write_text(DPD + NET + STEPS + "}\n")
    found = outcomes(here)
    del found["pipeline"], found["pipeline, dry run"]  # they would train it
    code, message = agreed(found)
    assert code == 2
    assert message == f"{here}/out/amp: no such run folder; train the PA model first:"


def test_a_weak_pa_model(here: Path, trained_pa: Callable[[Path, str], Path]) -> None:
    (here / "recipe.yaml").write_text(DPD + NET + STEPS + "}\n")
    path = trained_pa(here / "out" / "amp", "record") / "report.json"
    report = json.loads(path.read_text())
    gmp = chosen(report["baselines"]["gmp"]["val"])["nmse_db"]
    report["splits"]["val"] |= {"nmse_db": gmp + 1, WITH_PAST: None}
    path.write_text(json.dumps(report))
    code, message = agreed(outcomes(here))
    assert code == 2
    assert message.startswith("this PA model is worse than a gmp on the validation split")
