"""Tables as programs print them and as they are pasted, with made-up numbers, and what is read of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dpdrun.diagnosis.logs.formats import read_log
from dpdrun.diagnosis.logs.names import parse_map
from dpdrun.errors import DataError

TABLES: dict[str, tuple[str, dict[str, Any]]] = {
    "Chainer LogReport": (
        "epoch       main/loss   validation/main/loss  main/accuracy  elapsed_time\n"
        "1           0.190        0.0955                0.94           11.6\n"
        "2           0.070        0.0800                0.97           22.6\n",
        {'loss': [0.19, 0.07], 'step': [1, 2], 'val_loss': [0.0955, 0.08]},
    ),
    "fastai": (
        "epoch     train_loss  valid_loss  accuracy  time\n"
        "0         0.511123    0.402201    0.810000  00:10\n"
        "1         0.411123    0.352201    0.830000  00:10\n",
        {'loss': [0.511123, 0.411123], 'step': [0, 1], 'val_loss': [0.402201, 0.352201]},
    ),
    "skorch": (
        "  epoch    train_loss    valid_acc    valid_loss     dur\n"
        "-------  ------------  -----------  ------------  ------\n"
        "      1        \x1b[36m0.6905\x1b[0m       \x1b[32m0.6150\x1b[0m        \x1b[35m0.7023\x1b[0m  "
        "0.0438\n"
        "      2        0.6805       0.6150        0.6923  0.0438\n",
        {'loss': [0.6905, 0.6805], 'step': [1, 2], 'val_loss': [0.7023, 0.6923]},
    ),
    "Hugging Face model card": (
        "| Training Loss | Epoch | Step | Validation Loss | Accuracy |\n"
        "|:-------------:|:-----:|:----:|:---------------:|:--------:|\n"
        "| No log        | 1.0   | 250  | 0.65            | 0.6      |\n"
        "| 0.6000        | 2.0   | 500  | 0.55            | 0.7      |\n"
        "| 0.5000        | 3.0   | 750  | 0.45            | 0.8      |\n",
        {'loss': [0.6, 0.5], 'step': [500, 750], 'val_loss': [0.65, 0.55, 0.45]},
    ),
    "Hugging Face notebook": (
        "Step\tTraining Loss\tValidation Loss\n"
        "500\t0.690000\t0.630000\n"
        "1000\t0.590000\tNo log\n"
        "1500\t0.500000\t0.530000\n",
        {'loss': [0.69, 0.59, 0.5], 'step': [500, 1000, 1500], 'val_loss': [0.63, 0.53]},
    ),
    "Hugging Face notebook, by epoch": (
        "Epoch\tTraining Loss\tValidation Loss\n"
        "1\tNo log\t0.630000\n"
        "2\t0.590000\t0.6\n"
        "3\t0.500000\t0.530000\n",
        {'loss': [0.59, 0.5], 'step': [2, 3], 'val_loss': [0.63, 0.6, 0.53]},
    ),
    "numpy.savetxt": (
        "# epoch loss val_loss\n"
        "0 1.0 1.1\n"
        "1 0.9 1.0\n"
        "2 0.8 0.9\n",
        {'loss': [1.0, 0.9, 0.8], 'step': [0, 1, 2], 'val_loss': [1.1, 1.0, 0.9]},
    ),
    "DeePMD-kit lcurve.out": (
        "#  step      rmse_val    rmse_trn    rmse_e_val  rmse_e_trn    rmse_f_val  "
        "rmse_f_trn         lr\n"
        "      0      3.33e+01    3.41e+01      1.03e+01    1.03e+01      8.39e-01    "
        "8.72e-01    1.0e-03\n"
        "    100      2.57e+01    2.56e+01      1.87e+00    1.88e+00      8.03e-01    "
        "8.02e-01    1.0e-03\n",
        {'loss': [34.1, 25.6], 'step': [0, 100], 'val_loss': [33.3, 25.7], 'lr': [0.001, 0.001]},
    ),
}  # fmt: skip


def read(path: Path) -> dict[str, Any]:
    facts, log = read_log(path)
    loss = log.column("loss")
    columns = {name: log.column(name).values for name in ("lr", "val_loss", "grad_norm")}
    return {"loss": loss.values, "step": loss.steps, "loss_unit": facts.loss_unit, **columns}


@pytest.mark.parametrize("name", TABLES)
def test_a_table_is_read(tmp_path: Path, name: str) -> None:
    text, expected = TABLES[name]
    path = tmp_path / ("lcurve.out" if "lcurve" in name else "train.log")
    path.write_text(text)
    got = read(path)
    for key, value in expected.items():
        if isinstance(value, list):
            assert got[key] == pytest.approx(value, rel=2e-4, nan_ok=True), key
        else:
            assert got[key] == value, key


@pytest.mark.parametrize("name", ["log.csv", "log.txt"])
def test_numbers_without_names_are_numbered(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text("1 0.5 9\n2 0.25 9\n")
    with pytest.raises(DataError, match=r"the log has: column 1, column 2, column 3; if there is one, name it: --map"):
        read_log(path)
    assert read_log(path, parse_map(["step=column 1,loss=column 2"]))[0].loss == [0.5, 0.25]


@pytest.mark.parametrize(
    "text",
    [
        "Step  Training Loss\n100   2.500000\n200   2.250000\n",
        "      Iter       Train Loss   Remaining Time \n       100           2.5000            1.00s\n"
        "       200           2.2500            0.50s\n",
    ],
    ids=["a notebook", "scikit-learn"],
)
def test_names_of_two_words_stand_two_spaces_apart(tmp_path: Path, text: str) -> None:
    path = tmp_path / "log.txt"
    path.write_text(text)
    facts, _ = read_log(path)
    assert (facts.step, facts.loss) == ([100, 200], [2.5, 2.25])


def test_one_column_of_numbers_is_what_its_file_says(tmp_path: Path) -> None:
    text = "0.5\n0.25\n0.125\n"
    (tmp_path / "loss.txt").write_text(text)
    assert read_log(tmp_path / "loss.txt")[0].loss == [0.5, 0.25, 0.125]
    (tmp_path / "accuracy.txt").write_text(text)
    with pytest.raises(DataError, match="--map 'loss=column 1'"):
        read_log(tmp_path / "accuracy.txt")
