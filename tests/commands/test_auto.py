"""`dpdrun auto`: one command from a capture to an exported predistorter, here with short trials."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from scipy.signal import firwin
from typer.testing import CliRunner, Result

from dpdrun.auto import job, ladder, reading, recipes, search
from dpdrun.commands import app
from dpdrun.commands import auto as command
from dpdrun.data import sizing
from dpdrun.evaluation.plot_data import PlotData
from dpdrun.recipe.schema import DataSection, GMPModel
from dpdrun.sweep.folder import SweepFolder
from dpdrun.sweep.worker import work
from tests.json_documents import as_documented

SHORT = {
    (ladder, "PA_STEPS"): 30, (recipes, "PA_STEPS"): 30, (ladder, "GRU_STEPS"): 4, (ladder, "PA_LENGTHS"): 1,
    (recipes, "RULES_STEPS"): (20,), (search, "RULES_STEPS"): (20,), (ladder, "REFINEMENTS"): ((3, 2),),
}  # fmt: skip
WORDS = ("auto", "capture.npz", "--sample-rate-hz", "1e6", "--bandwidth-hz", "2e5", "--budget", "parameters=200")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The working folder, with capture.npz, whose output comes 5 samples late; trials are short, one at a time."""
    folder = tmp_path_factory.mktemp("auto")
    rng = np.random.default_rng(0)
    x = np.convolve(rng.normal(size=6100) + 1j * rng.normal(size=6100), firwin(101, 0.19), "valid")
    y = 2.0 * x * (1 - 0.02 * np.abs(x) ** 2) + 1e-3 * rng.normal(size=(len(x), 2)) @ [1, 1j]
    np.savez(folder / "capture.npz", x=x, y=np.concatenate([np.zeros(5), y[:-5]]))
    with pytest.MonkeyPatch.context() as monkey:
        monkey.chdir(folder)
        for (module, name), value in SHORT.items():
            monkey.setattr(module, name, value)
        monkey.setattr(job, "usable_cores", lambda: 1)
        monkey.setattr(search, "Pool", OwnProcess)
        monkey.setattr(reading, "read", once(reading.read))
        monkey.setattr(reading, "read_sizes", sizing.read_sizes)  # of conftest.py
        yield folder


class OwnProcess:
    """In place of a pool of workers, each of which loads torch (tests/auto/test_kills.py has the pool)."""

    def __init__(self, folder: SweepFolder, count: int, device: str) -> None:
        self.folder = folder

    def run(self, watch: Callable[[], None]) -> None:
        with patch("dpdrun.evaluation.baselines.GMPModel", GMPModel):  # as there, without the small one of conftest.py
            work(self.folder, lambda _: None)
        watch()


def once(read: Callable[[DataSection], reading.Reading]) -> Callable[[DataSection], reading.Reading]:
    """Align each capture once."""
    known: dict[str, reading.Reading] = {}

    def of(section: DataSection) -> reading.Reading:
        key = section.model_dump_json()
        if key not in known:
            known[key] = read(section)
        return known[key]

    return of


def auto(*words: str) -> Result:
    return CliRunner().invoke(app, [*WORDS, *words])


@pytest.fixture(scope="module")
def shorter(place: Path) -> dict[str, Any]:
    """auto.json after a shorter time, which reached one refinement, where matplotlib was missing."""
    with pytest.MonkeyPatch.context() as monkey:
        monkey.setattr(ladder, "REFINEMENTS", ((3, 1),))
        monkey.setattr(command, "find_spec", lambda _: None)
        result = auto("--minutes", "500", "--to", "npz", "-o", "product")
    assert result.exit_code == 0, result.output
    return content(place / "product")


@pytest.fixture(scope="module")
def product(place: Path, shorter: dict[str, Any]) -> tuple[Path, Result]:
    """The folder that the command has continued, and what it printed; only the figures of the page are drawn."""
    draw = command._draw

    def draw_less(where: Path, run: Path, report: dict[str, Any], scenes: list[PlotData]) -> None:
        where.mkdir(exist_ok=True)
        if run.name == "dpd":
            draw(where, run, report, [each for each in scenes if each.split == "test"])

    with pytest.MonkeyPatch.context() as monkey:
        monkey.setattr(command, "_draw", draw_less)
        result = auto("--minutes", "1000", "--to", "c", "--fixed", "14", "-o", "product")
    assert result.exit_code == 0, result.output
    return place / "product", result


def content(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = as_documented("auto", json.loads((folder / "auto.json").read_text()))
    return found


def test_dry_run_writes_nothing(place: Path) -> None:
    result = auto("--minutes", "1000", "--dry-run", "-o", "planned")
    assert result.exit_code == 0, result.output
    shown = " ".join(result.output.split())
    assert "up to 3 iterations" in shown
    assert "the shortest time here is" in shown
    assert "the predistorter has 194 parameters and 268 MACs per sample" in shown
    assert not (place / "planned").exists()


def test_scores_and_files(product: tuple[Path, Result]) -> None:
    folder, result = product
    made = content(folder)
    assert "coarse delay" in result.output
    assert any("coarse delay" in each for each in made["capture"]["corrected"])
    assert made["steps"]["judge"]["kind"] != made["steps"]["pa"]["kind"]
    assert made["steps"]["dpd"]["parameters"] <= 200
    assert set(made["scores"]["own"]) == {"dpd", "dpd_gmp"}
    assert "intervals" in made["scores"]["judged"]["dpd"]["judge"]["splits"]["test"]["linearity"]
    assert (folder / made["exported"]["path"]).is_file()
    assert {each["status"] for each in made["trials"]} == {"finished"}


def test_the_best_of_the_validation_split_is_kept(product: tuple[Path, Result]) -> None:
    folder, _ = product
    trials = [each for each in content(folder)["trials"] if each["search"].startswith("dpd")]
    best = min(trials, key=lambda each: each["score_db"])
    weights = (folder / "search" / best["search"] / "trials" / best["id"] / "model.safetensors").read_bytes()
    assert (folder / "dpd" / "model.safetensors").read_bytes() == weights


def test_more_minutes_keep_what_there_is(product: tuple[Path, Result], shorter: dict[str, Any]) -> None:
    before, after = ({(each["search"], each["id"]): each["score_db"] for each in made["trials"]}
                     for made in (shorter, content(product[0])))  # fmt: skip
    assert before.items() < after.items()
    assert shorter["steps"]["pa"] == content(product[0])["steps"]["pa"]


def test_page_is_self_contained(product: tuple[Path, Result]) -> None:
    page = (product[0] / "report.html").read_text()
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert page.count("data:image/svg+xml") >= 2
    for words in ("dpdrun export", "dpdrun train", "dpdrun data inspect"):
        assert words in page


def test_steps_are_those_of_a_pipeline(product: tuple[Path, Result]) -> None:
    result = CliRunner().invoke(app, ["train", "product/pipeline.yaml", "--run-dir", "product", "--dry-run"])
    assert result.exit_code == 0, result.output
    assert result.output.count("finished and unchanged") == 4


def test_a_second_call_trains_nothing(product: tuple[Path, Result]) -> None:
    folder, _ = product
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("model.safetensors")}
    exported = (folder / content(folder)["exported"]["path"]).stat().st_mtime_ns
    written = {name: (folder / name).read_bytes() for name in ("auto.json", "report.html")}
    result = auto("--minutes", "1000", "--to", "c", "--fixed", "14", "-o", "product")
    assert result.exit_code == 0, result.output
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("model.safetensors")} == before
    assert (folder / content(folder)["exported"]["path"]).stat().st_mtime_ns == exported
    assert {name: (folder / name).read_bytes() for name in written} == written


def test_another_bandwidth_is_for_a_score(product: tuple[Path, Result]) -> None:
    result = CliRunner().invoke(app, [*WORDS[:5], "2.1e5", *WORDS[6:], "-o", "product"])
    assert result.exit_code == 2
    assert "a bandwidth of 0.2 MHz" in result.stderr
    assert "dpdrun evaluate product/dpd --bandwidth-hz 210000" in result.stderr
    scored = CliRunner().invoke(
        app, ["evaluate", "product/dpd", "--bandwidth-hz", "210k", "--split", "val", "--format", "json"]
    )
    assert scored.exit_code == 0, scored.output
    before = json.loads((product[0] / "dpd" / "report.json").read_text())
    aclr, other = (each["splits"]["val"]["linearity"]["aclr_worse_dbc"] for each in (before, json.loads(scored.stdout)))
    assert aclr is not None
    assert other not in (None, aclr)


def test_another_budget_needs_another_folder(product: tuple[Path, Result]) -> None:
    result = CliRunner().invoke(app, [*WORDS[:-1], "parameters=300", "-o", "product"])
    assert result.exit_code == 2
    assert "a budget of 200 parameters" in result.stderr
    assert "give another -o" in result.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--minutes", "0.02"), "--minutes 0.02 is too short"),
        (("--minutes", "inf", "--dry-run"), "less than or equal to"),
        (("--to", "onxx"), "no such format; did you mean 'onnx'?"),
        (("--to", "onnx", "--fixed", "8"), "holds floating-point models alone"),
        (("--budget", "macs=3"), "is too small for a Transformer"),
        (("--budget", "size=3"), "no limit 'size'; write parameters=500, macs=2000 or bits=8000"),
    ],
)
def test_refused_before_anything_is_written(words: tuple[str, ...], message: str, place: Path) -> None:
    result = auto(*words, "-o", "refused")
    assert result.exit_code == 2
    assert message in result.stderr
    assert not (place / "refused").exists()
