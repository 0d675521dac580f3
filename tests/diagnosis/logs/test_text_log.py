"""Logs that are text: each format as its program prints it, and what is read of it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from dpdrun.diagnosis.logs.formats import read_log
from dpdrun.diagnosis.logs.log import TrainingLog
from dpdrun.diagnosis.logs.names import parse_map
from dpdrun.errors import DataError
from dpdrun.rules.facts.run import RunFacts


def log(tmp_path: Path, text: str, maps: str = "") -> tuple[RunFacts, TrainingLog]:
    path = tmp_path / "train.log"
    path.write_bytes(text.encode())
    return read_log(path, parse_map([maps] if maps else []))


HF = """***** Running training *****
  Num Epochs = 2
  Total optimization steps = 1,000
{'loss': 2.5, 'grad_norm': 1.5, 'learning_rate': 1e-05, 'epoch': 0.2}
{'loss': '1.25', 'grad_norm': 'nan', 'learning_rate': '2e-05', 'epoch': '1.0'}
{'eval_loss': 1.5, 'eval_accuracy': 0.5, 'eval_runtime': 2.0, 'epoch': 1.0}
{'loss': 1.0, 'grad_norm': nan, 'learning_rate': 1e-05, 'epoch': 2.0}
{'train_runtime': 9.0, 'train_loss': 1.2, 'epoch': 2.0}
"""
BARS = (
    "  1%|1    | 10/1000 [00:01<01:39, 9.9it/s]\r                     \r"
    "{'loss': 2.5, 'learning_rate': 1e-05, 'epoch': 0.1}\n\r  1%|1    | 10/1000 [00:01<01:39, 9.9it/s]"
    "\r  2%|2    | 19/1000 [00:02<01:38, 9.9it/s]\r"
    "{'loss': 2.0, 'learning_rate': 1e-05, 'epoch': 0.2}\n\r  2%|2    | 20/1000 [00:02<01:38, 9.9it/s]"
    "\r 50%|5    | 1/2 [00:00<00:00, 9it/s]\r100%|##   | 2/2 [00:00<00:00, 9it/s]\r"
    "{'eval_loss': 1.9, 'epoch': 0.2}\n\r  2%|2    | 20/1000 [00:02<01:38, 9.9it/s]\r"
    "  3%|3    | 30/1000 [00:03<01:38, 9.9it/s]\r{'loss': 1.5, 'learning_rate': 1e-05, 'epoch': 0.3}\n"
)
NANOGPT = """step 0: train loss 4.2, val loss 4.3
iter 0: loss 4.25, time 99.10ms, mfu 12.30%
iter 10: loss 3.5, time 99.10ms, mfu 12.30%
step 10: train loss 3.4, val loss 3.6
"""
BUILD = "0 val 10.9\n0 hella 0.25\n0 train 10.95\n1 train 10.5\n"
TORCHTUNE = "Step 1 | loss:2.5 lr:2e-05 tokens_per_second_per_gpu:1234.5 grad_norm:0.6\nStep 2 | loss:2.25 lr:1e-05\n"
MEGATRON = """2:  iteration      100/    5000 | consumed samples: 6400 | elapsed time per iteration (ms): 512.3 | \
learning rate: 1.000E-04 | global batch size:    64 | lm loss: 6.500000E+00 | loss scale: 65536.0 | grad norm: 1.250 |
 iteration      200/    5000 | learning rate: 2.000E-04 | lm loss: 6.000000E+00 | grad norm: nan |
 validation loss at iteration 200 | lm loss value: 6.100000E+00 | lm loss PPL: 4.4E+02 |
 validation loss at iteration 200 on test set | lm loss value: 9.9E+00 | lm loss PPL: 2E+04 |
"""
FAIRSEQ = """2024-01-01 10:00:00 | INFO | fairseq.tasks | dictionary: 1000 types
2024-01-01 10:00:01 | INFO | train_inner | {"epoch": 1, "loss": "9.5", "gnorm": "1.25", "num_updates": "100"}
2024-01-01 10:00:02 | INFO | train_inner | {"epoch": 1, "loss": "9.0", "gnorm": "1.5", "num_updates": "200"}
2024-01-01 10:00:03 | INFO | valid | {"epoch": 1, "valid_loss": "9.2", "valid_num_updates": "200"}
2024-01-01 10:00:03 | INFO | train | {"epoch": 1, "train_loss": "9.4", "train_num_updates": "200"}
"""
MMENGINE = """2024/05/10 15:46:31 - mmengine - INFO - Epoch(train)  [1][ 50/300]  lr: 1.0e-03  eta: 1:10:00  \
time: 0.8  grad_norm: 3.5  loss: 2.5  loss_cls: 0.8
2024/05/10 15:46:31 - mmengine - INFO - Epoch(val)  [1][50/50]    coco/bbox_mAP: 0.3  time: 0.1  lr: 1.0
2024/05/10 15:46:31 - mmengine - INFO - Epoch(train)  [2][ 50/300]  lr: 1.0e-03  grad_norm: 3.0  loss: 2.0
"""
MMCV = """2021-05-10 15:46:31,123 - mmdet - INFO - Epoch [1][50/300]\tlr: 1.0e-03, loss_cls: 0.8, loss: 2.5
2021-05-10 15:46:31,123 - mmdet - INFO - Epoch [2][50/300]\tlr: 1.0e-03, loss_cls: 0.7, loss: 2.0
"""
KERAS = """Epoch 1/5
 50/100 [====>.....] - ETA: 1s - loss: 9.9
100/100 [==========] - 2s 20ms/step - loss: 2.5 - accuracy: 0.5 - val_loss: 2.6 - val_accuracy: 0.5
Epoch 2/5
100/100 [==========] - 2s 20ms/step - loss: 2.0 - accuracy: 0.6 - val_loss: 2.1 - val_accuracy: 0.6
"""
PYTORCH = """Train Epoch: 1 [0/60000 (0%)]\tLoss: 2.5
Train Epoch: 1 [640/60000 (1%)]\tLoss: 2.25
Test set: Average loss: 1.5, Accuracy: 9000/10000 (90%)
Train Epoch: 2 [0/60000 (0%)]\tLoss: 2.0
"""
KARPATHY = (
    "step    0 | loss: 10.5 | lr 6.0e-04 | norm: 0.5 | dt: 9.1ms\nstep    1 | loss: 9.5 | lr 6.0e-04 | norm: 0.4 |\n"
)
SPEECHBRAIN = """epoch: 1, lr: 1.00e-03 - train loss: 3.5 - valid loss: 3.25, valid WER: 90.0
epoch: 2, lr: 1.00e-03 - train loss: 3.0 - valid loss: 2.75, valid WER: 80.0
"""
QUOTED = "2020-11-14 23:12:55,685-INFO: epoch: 0, iter: 20, lr: 0.5, 'loss': 2.5, 'acc': 0.0, time: 5.4\n" * 2

MARIAN = """[2021-07-17 12:54:33] Ep. 1 : Up. 1000 : Sen. 965,843 : Cost 5.5 : Time 359.59s : 3007.81 words/s
[2021-07-17 13:13:46] Ep. 1 : Up. 2000 : Sen. 1,052,108 : Cost 5.0 : Time 1153.11s : 1942.28 words/s
[2021-07-17 13:50:36] [valid] Ep. 1 : Up. 2000 : cross-entropy : 130.5 : new best
"""
BRACKETS = "[0/1000] batch loss : 6.5\n[100/1000] batch loss : 3.5\n"
PAIRS = "step     0 | train 4.75 | val 4.5 | lr 1.00e-05 | 3s\nstep   100 | train 2.5 | val 2.25 | lr 1.00e-03 | 14s\n"

EXPECTED: dict[str, tuple[str, str, dict[str, Any]]] = {
    "Hugging Face": (HF, "huggingface", {
        "step": [100, 500, 1000], "loss": [2.5, 1.25, 1.0], "lr": [1e-5, 2e-5, 1e-5], "progress": 1.0,
        "eval_losses": {"": ([500], [1.5])}, "eval_metrics": {"eval_accuracy": ([500], [0.5])},
    }),
    "Hugging Face between progress bars": (BARS, "huggingface", {
        "step": [10, 20, 30], "total_steps": 1000, "eval_losses": {"": ([20], [1.9])},
    }),
    "nanoGPT": (NANOGPT, "nanogpt", {"step": [0, 10], "loss": [4.25, 3.5], "eval_losses": {"": ([0, 10], [4.3, 3.6])}}),
    "build-nanogpt": (BUILD, "build-nanogpt", {
        "step": [0, 1], "loss": [10.95, 10.5], "eval_losses": {"": ([0], [10.9])},
    }),
    "torchtune": (TORCHTUNE, "torchtune", {"step": [1], "loss": [2.5], "grad_norm": [0.6], "lr": [2e-5]}),
    "Megatron-LM": (MEGATRON, "megatron", {
        "step": [100, 200], "loss": [6.5, 6.0], "lr": [1e-4, 2e-4], "total_steps": 5000,
        "eval_losses": {"": ([200], [6.1])},
    }),
    "fairseq": (FAIRSEQ, "fairseq", {
        "step": [100, 200], "loss": [9.5, 9.0], "grad_norm": [1.25, 1.5], "eval_losses": {"": ([200], [9.2])},
    }),
    "mmengine": (MMENGINE, "mmengine", {
        "step": [50, 350], "loss": [2.5, 2.0], "grad_norm": [3.5, 3.0], "steps_per_epoch": 300.0,
    }),
    "mmcv 1": (MMCV, "mmengine", {"step": [50, 350], "loss": [2.5, 2.0]}),
    "Keras output": (KERAS, "keras", {
        "step": [1, 2], "loss": [2.5, 2.0], "total_steps": 5, "eval_losses": {"": ([1, 2], [2.6, 2.1])},
    }),
    "example of PyTorch": (PYTORCH, "", {"step": [0, 640, 641], "loss": [2.5, 2.25, 2.0]}),
    "build-nanogpt output": (KARPATHY, "", {"step": [0, 1], "loss": [10.5, 9.5], "grad_norm": [0.5, 0.4]}),
    "SpeechBrain": (SPEECHBRAIN, "", {
        "step": [1, 2], "loss": [3.5, 3.0], "lr": [1e-3, 1e-3], "eval_losses": {"": ([1, 2], [3.25, 2.75])},
    }),
    "Marian": (MARIAN, "", {"step": [1000, 2000], "loss": [5.5, 5.0], "eval_losses": {"": ([2000], [130.5])}}),
    "counters in brackets": (BRACKETS, "", {"step": [0, 100], "loss": [6.5, 3.5], "total_steps": 1000}),
    "train and val": (PAIRS, "", {"loss": [4.75, 2.5], "eval_losses": {"": ([0, 100], [4.5, 2.25])}}),
    "quoted names": (QUOTED, "", {"step": [20], "loss": [2.5], "lr": [0.5]}),
}  # fmt: skip


@pytest.mark.parametrize("name", EXPECTED)
def test_what_programs_print(tmp_path: Path, name: str) -> None:
    text, program, expected = EXPECTED[name]
    facts, source = log(tmp_path, text)
    assert source.program == program
    assert {key: getattr(facts, key) for key in expected} == expected


def test_a_norm_that_is_nan_is_kept(tmp_path: Path) -> None:
    facts, _ = log(tmp_path, HF)
    assert [math.isnan(norm) for norm in facts.grad_norm] == [False, True, True]


def test_lines_are_counted_where_there_is_no_step(tmp_path: Path) -> None:
    lines = [f"{{'loss': {3 - i / 10}, 'learning_rate': 1e-05, 'epoch': {i / 4}}}\n" for i in range(1, 9)]
    facts, source = log(tmp_path, "".join(lines))
    assert (source.unit, facts.step, facts.steps_per_epoch) == ("line", list(range(1, 9)), 4.0)
    assert any("lines are counted" in note for note in source.notes)


def test_lines_before_and_between_do_not_matter(tmp_path: Path) -> None:
    noise = "W0510 warning: something about a tensor: 5\n\x1b[32mINFO\x1b[0m loading checkpoint 3/7\n"
    plain, _ = log(tmp_path, TORCHTUNE)
    noisy, source = log(tmp_path, noise + noise.join(TORCHTUNE.splitlines(keepends=True)) + noise)
    assert source.program == "torchtune"
    assert (noisy.step, noisy.loss) == (plain.step, plain.loss)


def test_names_that_say_nothing_are_listed(tmp_path: Path) -> None:
    text = "epoch 0, step 100, recon 220.5, kl: 0.5\nepoch 0, step 200, recon 180.5, kl: 0.6\n"
    with pytest.raises(DataError, match=r"the log has: .*recon.* --map loss=") as error:
        log(tmp_path, text)
    assert "\n" not in str(error.value)
    assert log(tmp_path, text, "loss=recon")[0].loss == [220.5, 180.5]


def test_text_without_numbers_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no training numbers found, .*docs/diagnose\.md.*--map") as error:
        log(tmp_path, "hello\nworld\n")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["a" * 300_000, "a-" * 150_000, "loss " * 60_000, "{'a': " * 40_000, "1 " * 100_000])
def test_a_line_without_end_is_read_in_pieces(tmp_path: Path, text: str) -> None:
    facts, _ = log(tmp_path, f"step: 1 loss: 0.5\n{text}\nstep: 2 loss: 0.25\n")
    assert facts.loss == [0.5, 0.25]


@pytest.mark.parametrize(
    ("message", "reports"),
    [
        ("2021-11-30 17:25:56,021 WARNING NaN or Inf found in input tensor.", True),
        ("FloatingPointError: infinite or NaN values found in the gradient", True),
        ("Error reported to Coordinator: LossTensor is inf or nan. : Tensor had NaN values", True),
        ("nan", True),
        ("Validation loss decreased (inf --> 38.347205).  Saving model ...", False),
        ("number of nan iterations:   0 |", False),
        ("INFO loading the information of nanodet", False),
    ],
)
def test_a_program_that_reports_nan_in_words(tmp_path: Path, message: str, *, reports: bool) -> None:
    facts, _ = log(tmp_path, f"step: 1 loss: 0.5\n{message}\nstep: 2 loss: 0.25\n")
    assert (facts.reports_nan == [2]) is reports
    assert facts.loss == [0.5, 0.25]


def test_losses_without_a_name_of_one_that_are_all_nan(tmp_path: Path) -> None:
    facts, _ = log(tmp_path, "".join(f"(epoch: 1, iters: {k}00, time: 0.3) D_A: nan G_A: nan\n" for k in (1, 2, 3)))
    assert [math.isnan(value) for value in facts.loss] == [True] * 3
