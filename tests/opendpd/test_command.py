"""Scripts and command lines of OpenDPD as recipes."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from dpdrun.data.formats.opendpd_wheel import DATASETS, wheel_path
from dpdrun.errors import DataError, RecipeError
from dpdrun.opendpd.command import TRAIN_SAMPLES, translate
from dpdrun.recipe.loader import load_text
from dpdrun.recipe.schema import Recipe

GRU = "python main.py --step train_pa --PA_backbone gru"
# In the style of bash_scripts/ of OpenDPD and of the fork.
SCRIPT = """\
#!/usr/bin/env bash
set -euo pipefail
step="${1:-all}"
dataset_name=APA_200MHz
PA_backbone=transformer_encoder
d_model=128
lr=3e-4
n_epochs=${N_EPOCHS:-100}
if [[ "${step}" == "all" || "${step}" == "train_pa" ]]; then
    printf '==== Train PA (%s) ====\\n' "${PA_backbone}"
    CUDA_VISIBLE_DEVICES=1 "${PYTHON_BIN}" main.py \\
      --dataset_name "${dataset_name}" --step train_pa --lr "${lr}" \\
      --n_epochs "${n_epochs}" --PA_backbone "${PA_backbone}" --d_model "${d_model}" \\
      2>&1 | tee log.txt
fi
python main.py --step run_pa --devices "${nobody_set_this}"
python main.py --step train_dpd --lr "${lr}"
"""


def recipe(script: str, **options: object) -> Recipe:
    return load_text(translate(script, "s.sh", **options).text).recipe  # type: ignore[arg-type]


def test_a_script() -> None:
    found = translate(SCRIPT, "s.sh")
    made = load_text(found.text).recipe
    assert found.where == "s.sh:11"
    assert (made.model.kind, made.optim.lr, made.train.max_steps) == ("transformer", 3e-4, 100 * 230)
    assert made.data.source == "opendpd/APA_200MHz"
    assert "defaults are those of the fork" in found.text
    assert all(remark in found.text for remark in found.remarks)


@pytest.mark.parametrize(
    "prefix",
    [
        "python main.py",
        "python3 -u OpenDPD/main.py",
        "nohup env A=1 python ./main.py",
        "opendpd-cli",
        "torchrun main.py",
    ],
)
def test_who_runs_it(prefix: str) -> None:
    assert recipe(f"{prefix} --step train_pa --PA_backbone gru --dataset_name DPA_200MHz").model.kind == "gru"


def test_flags_alone_are_a_command() -> None:
    assert recipe("--step=train_pa --PA_backbone gru --dataset_name DPA_200MHz").model.kind == "gru"


def test_a_sweep_asks_which() -> None:
    sweep = "for h in 8 11; do\n" + GRU + " --dataset_name DPA_200MHz --PA_hidden_size $h --lr 1e-3\ndone"
    with pytest.raises(RecipeError) as caught:
        translate(sweep, "s.sh")
    assert str(caught.value).splitlines() == [
        "s.sh: 2 train_pa commands; choose one with --pick N:",
        "  1: line 2: --PA_hidden_size 8",
        "  2: line 2: --PA_hidden_size 11",
    ]
    assert recipe(sweep, pick=2).model.hidden == 11  # type: ignore[union-attr]
    with pytest.raises(RecipeError, match=r"--pick 3: s\.sh has 2"):
        translate(sweep, "s.sh", pick=3)


def test_the_same_command_twice_is_one() -> None:
    assert recipe("for i in 1 2; do\n" + GRU + " --dataset_name DPA_200MHz\ndone").model.kind == "gru"


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("ls", "s.sh: no OpenDPD command (python main.py --step train_pa ...) found"),
        (
            "python main.py --step train_dpd",
            "s.sh: only commands with --step train_pa can be translated; this has --step train_dpd",
        ),
        ("python main.py --step run_dpd; python main.py --step plot", "this has --step run_dpd, plot"),
        ("python main.py --lr 1", "this has --step run_dpd (OpenDPD's default)"),
        ("\n" + GRU + " --lr $lr", "s.sh:2: $lr is unknown: nothing sets it before\n  set it at the top"),
        (GRU, "s.sh:1: the command names no data, and OpenDPD has no default; add --data SOURCE"),
        (GRU + " \\ \n  --lr 1", "s.sh:2: this line begins with a flag; the line before must end in a backslash"),
        (GRU + " --lrr 1", "s.sh:1: --lrr: OpenDPD has no such flag"),
    ],
)
def test_what_cannot_be_translated(script: str, message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        translate(script, "s.sh")
    assert message in str(caught.value)


def test_data_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "datasets" / "Mine"
    folder.mkdir(parents=True)
    rows = "".join(f"{(i * 37 % 101) / 101 - 0.5},{(i * 53 % 97) / 97 - 0.5}\n" for i in range(1100))
    for part in ("train", "val", "test"):
        for side in ("input", "output"):
            (folder / f"{part}_{side}.csv").write_text("I,Q\n" + rows)
    (folder / "spec.json").write_text(json.dumps({"input_signal_fs": 1e6}))
    made = recipe(GRU + " --dataset_name Mine --frame_length 100 --frame_stride 50 --batch_size 8 --n_epochs 3")
    assert made.data.source == "datasets/Mine"
    assert made.train.max_steps == 3 * 3  # 21 windows of 1100 samples, 8 a batch
    assert recipe(GRU + f" --dataset_path {folder} --n_epochs 1").data.source == str(folder)


def test_data_that_are_not_there() -> None:
    with pytest.raises(DataError) as caught:
        translate(GRU + " --dataset_name Theirs", "s.sh")
    assert "datasets/Theirs: no such" in str(caught.value)
    assert "give the frames of one pass with --samples N" in str(caught.value)
    made = recipe(GRU + " --dataset_name Theirs --batch_size 64", frames=640)
    assert made.train.max_steps == 150 * 10
    assert recipe(GRU, source="synthetic/mild").data.source == "synthetic/mild"


def test_all_embedded_captures_have_their_length() -> None:
    assert set(TRAIN_SAMPLES) == set(DATASETS)


@pytest.mark.skipif(not wheel_path().exists(), reason="the wheel of OpenDPD has not been downloaded")
@pytest.mark.parametrize("name", DATASETS)
def test_lengths_as_in_the_wheel(name: str) -> None:
    with zipfile.ZipFile(wheel_path()) as wheel:
        spec = json.loads(wheel.read(f"datasets/{name}/spec.json"))
        if spec.get("dataset_format") == "single_csv":
            rows = wheel.read(f"datasets/{name}/{spec.get('csv_filename', 'data.csv')}").count(b"\n") - 1
            assert int(rows * spec["split_ratios"]["train"]) == TRAIN_SAMPLES[name]
        else:
            assert wheel.read(f"datasets/{name}/train_input.csv").count(b"\n") - 1 == TRAIN_SAMPLES[name]
