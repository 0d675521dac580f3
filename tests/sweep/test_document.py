"""A sweep file and the same as flags: what they say, and every way to get them wrong, with its place."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dpdrun.errors import RecipeError
from dpdrun.sweep.document import Sweep, is_sweep, load_sweep
from dpdrun.sweep.space import Range

FILE = """\
recipe: small.yaml
set: [train.max_steps=4]
over:
  model.d_model: [8, 16]
  optim.lr: log:3e-3..1e-1:3
seeds: 2
objectives: [val_nmse_db, parameters]
"""


def refused(path: Path | str, flags: dict[str, Any] | None = None) -> list[str]:
    with pytest.raises(RecipeError) as error:
        load_sweep(Path(path), flags or {})
    return [line for line in str(error.value).splitlines() if not line.startswith("     ") and " | " not in line]


def test_a_file_and_the_same_as_flags(place: Path) -> None:
    (place / "sweep.yaml").write_text(FILE)
    over = {"model.d_model": "8,16", "optim.lr": "log:3e-3..1e-1:3"}
    flags = {"over": over, "seeds": 2, "objectives": ["val_nmse_db", "parameters"]}
    of_file, of_flags = load_sweep(Path("sweep.yaml")), load_sweep(Path("small.yaml"), flags, ["train.max_steps=4"])
    assert of_file.base.recipe == of_flags.base.recipe
    assert of_file.base.recipe.train.max_steps == 4
    for sweep in (of_file, of_flags):
        assert [(each.key, each.values) for each in sweep.over] == [
            ("model.d_model", (8, 16)),
            ("optim.lr", Range(3e-3, 1e-1, log=True, count=3)),
        ]
        assert (sweep.seeds, sweep.objectives, sweep.search) == ((0, 1), ("val_nmse_db", "parameters"), "grid")


def test_what_is_written_into_the_folder_is_the_same_sweep(place: Path, read: Callable[..., Sweep]) -> None:
    sweep = read(over={"optim.lr": "log:1e-3..1e-2:2", "model": "{kind: gru, hidden: 4},{kind: gmp}"}, seeds=[3, 1])
    (place / "recipe.yaml").write_text(sweep.base.effective_text)
    (place / "sweep.yaml").write_text(sweep.text)
    again = load_sweep(place / "sweep.yaml")
    assert again.text == sweep.text
    assert [each.choices()[0][0] for each in again.over] == [each.choices()[0][0] for each in sweep.over]
    assert again.seeds == (3, 1)


def test_flags_win_over_the_file(place: Path) -> None:
    (place / "sweep.yaml").write_text(FILE)
    sweep = load_sweep(Path("sweep.yaml"), {"seeds": 3, "over": {"model.d_model": "4"}})
    assert sweep.seeds == (0, 1, 2)
    assert [each.key for each in sweep.over] == ["model.d_model", "optim.lr"]
    assert sweep.over[0].values == (4,)


def test_what_is_a_sweep(place: Path) -> None:
    (place / "sweep.yaml").write_text(FILE)
    (place / "named.yaml").write_text("task: sweep\nrecipe: small.yaml\n")
    (place / "broken.yaml").write_text("over: [")
    found = {name: is_sweep(Path(f"{name}.yaml")) for name in ("sweep", "named", "small", "broken", "missing")}
    assert found == {"sweep": True, "named": True, "small": False, "broken": False, "missing": False}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (FILE + "seedz: 3\n", "sweep.yaml:8:1: unknown key seedz; did you mean 'seeds'?"),
        (FILE.replace("val_nmse_db", "val_nmse"),
         "sweep.yaml:7:14: objectives: one of val_nmse_db, val_objective_db, parameters, macs_per_sample or seconds; "
         "got val_nmse; did you mean 'val_nmse_db'?"),
        (FILE.replace("val_nmse_db", "val_objective_db"),
         "sweep.yaml:7:1: val_objective_db is the objective of task dpd; use val_nmse_db"),
        (FILE.replace("seeds: 2", "seeds: 0"),
         "sweep.yaml:6:8: seeds: expected a whole number from 1 to 1,000, or a list of different seeds"),
        (FILE.replace(":3\n", "\n"),
         "sweep.yaml:5:13: over.optim.lr: a grid needs the number of values: log:3e-3..0.1:5 (or search: tpe)"),
        (FILE + "search: tree\n",
         "sweep.yaml:8:9: search: expected one of grid, random, tpe or nsga2; got 'tree'"),
        (FILE + "search: tpe\n",
         "sweep.yaml:8:1: search: tpe needs a budget, such as budget: {trials: 40} (or --trials 40)"),
        (FILE.replace("small.yaml", "smal.yaml"),
         "sweep.yaml:1:9: recipe: no such file: smal.yaml; did you mean small.yaml?"),
        (FILE.replace("  model.d_model: [8, 16]", "  model: {d_model: [8, 16]}"),
         "sweep.yaml:4:3: over.model: write each field with its section: `model.d_model:`"),
    ],
)  # fmt: skip
def test_mistakes_and_their_places(place: Path, text: str, why: str) -> None:
    (place / "sweep.yaml").write_text(text)
    assert refused("sweep.yaml") == [why]


def test_all_mistakes_at_once(place: Path) -> None:
    text = FILE.replace("seeds: 2", "seeds: none").replace("parameters", "size").replace("=4", "=four")
    (place / "sweep.yaml").write_text(text)
    lines = refused("sweep.yaml")
    assert [line.partition(": ")[0] for line in lines] == [
        "sweep.yaml:6:8", "sweep.yaml:7:27", "--set train.max_steps=four"
    ]  # fmt: skip


def test_mistakes_of_flags_name_the_flag(place: Path) -> None:
    lines = refused("small.yaml", {"over": {"optim.lr": "1e-1..1e-3:3"}, "objectives": ["speed"]})
    assert lines[0].startswith("--over optim.lr=1e-1..1e-3:3: over.optim.lr: the range is empty")
    assert lines[1].startswith("--objective: objectives: one of val_nmse_db")


def test_a_list_in_a_flag_is_that_of_a_file(place: Path) -> None:
    models = "[{kind: gru, hidden: 4}, {kind: gmp}]"
    read = [load_sweep(Path("small.yaml"), {"over": {"model": text}}) for text in (models, models[1:-1])]
    assert [[value["kind"] for value in each.over[0].values] for each in read] == [["gru", "gmp"]] * 2


def test_a_grid_has_a_limit(place: Path) -> None:
    over = {"optim.lr": "log:1e-4..1e-1:200", "optim.beta1": "0.1..0.9:60"}
    assert refused("small.yaml", {"over": over}) == [
        "--over: over: a grid of 12,000 configurations; at most 10,000: use search: random or tpe"
    ]


def test_long_flags_are_cut(place: Path) -> None:
    over = {f"k{number}": "1,2" for number in range(2000)}
    assert refused("small.yaml", {"over": over})[-1].startswith(
        "--over: over: a grid of more than 10^15 configurations"
    )
    (line,) = refused("small.yaml", {"over": {"optim.lr": "1," * 20_000 + "]"}})
    assert len(line) < 500


def test_a_limit_is_named_by_its_flag(place: Path) -> None:
    flags = {"over": {"optim.lr": "1e-3..1e-1"}, "search": "random", "budget": {"core_hours": float("nan")}}
    (line,) = refused("small.yaml", flags)
    assert line.startswith("--core-hours: budget.core_hours: expected a number greater than 0")
