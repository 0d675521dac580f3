"""Any shape of log: the numbers that a program wrote arrive, and those that are not finite as well."""

from __future__ import annotations

import json
import math
from itertools import cycle
from pathlib import Path

import pytest

from dpdrun.diagnosis.logs.formats import read_log

LOSSES = (2.3125, 1.875, 1.75, 1.5, 1.4375, 1.25, 1.125, 1.0625)
SCORES = (2.4375, 2.125, 1.9375, 1.8125, 1.6875, 1.625, 1.5625, 1.53125)
Shape = tuple[str, str]  # the name of the file, and its text

# One line of a log; {e} an epoch from 1, {i} from 0, {s} a step, {l} the loss, {v} the validation loss.
LINES = (
    # counters, then pairs
    "Epoch {e}/8 - loss: {l} - val_loss: {v}",
    "Epoch: {e} | Train Loss: {l} | Val Loss: {v}",
    "Epoch [{e}/8], Loss: {l}, Val Loss: {v}",
    "Epoch {e}: train_loss={l} val_loss={v}",
    "Epoch {e}, Training Loss {l}, Validation Loss {v}",
    "epoch {e:03d} train loss {l} valid loss {v} lr 1.0e-03",
    "[{e}/8] train_loss: {l}, valid_loss: {v}",
    "[epoch {e:2d}] L: {l} val L: {v}",
    "Epoch:{e}\tTrain:{l}\tVal:{v}",
    "epoch={e} train={l} val={v}",
    "E{e:02d} | loss {l} | val loss {v}",
    "({e}/8) loss: {l} val loss: {v}",
    "Epoch #{e}: Loss = {l}",
    "epoch {e} avg loss {l}",
    "Epoch {e} finished, average loss is {l}",
    "Epoch {e} loss: {l} time: 12.3s",
    "Epoch {e} - 12s - loss: {l} - accuracy: 0.5123 - val_loss: {v} - val_accuracy: 0.4961",
    "2023-01-0{e} 12:30:4{e},123 INFO train: epoch {e} loss {l} val_loss {v}",
    "2023-01-02T12:30:45.678Z [INFO] step={s} loss={l} lr=0.001 eta=0:12:30",
    "I0102 12:30:45.678901 1234 solver.cpp:228] Iteration {s}, loss = {l}",
    "INFO:root:Epoch: {e}, loss: {l}",
    "[12:30:45] epoch {e} | loss: {l} | 123.4 samples/s | 45% GPU",
    "step {s}: train loss {l}, val loss {v}",
    "step {s} | loss {l} | lr 1.0e-03 | norm 0.4123 | 12.3ms | 5.1 it/s",
    "Step: {s}, Loss: {l}",
    "step:{s}/800 train_loss:{l} train_time:123ms step_avg:1.23ms",
    "iter {s}: loss {l}, time 123.45ms, mfu 1.23%",
    "Iter [{s}/800] lr: 1.0e-03, eta: 1:02:03, time: 0.123, loss: {l}",
    "Iteration {s} loss: {l}",
    "iteration: {s}  objective: {l}",
    "it {s} err {l}",
    "batch {s} mse {l}",
    "Batch: {s}, Cost: {l}",
    "#{s} loss {l}",
    "<{s}> loss = {l}",
    "global_step={s}, loss={l}",
    "update {s} | nll {l}",
    "Round {e}: loss {l}",
    "round {e}, train loss = {l}, val loss = {v}",
    "Episode {e}\tLoss: {l}",
    "[{s:>6}] loss: {l}",
    "[{e},   100] loss: {l}",
    # other names
    "epoch {e} IDLoss={l},",
    "epoch {e} L_det: {l}",
    "Epoch {e}: total {l}",
    "Epoch {e}: total_loss: {l} kl_loss: 0.1 rec_loss: 0.2",
    "Epoch {e}: Total Loss = {l}",
    "Epoch {e} | tr_loss {l} | te_loss {v}",
    "Epoch {e} | trn_loss {l} | val_loss {v}",
    "Epoch {e} CE: {l}",
    "Epoch {e} cross_entropy {l}",
    "Epoch {e} train_mse: {l} val_mse: {v}",
    "Epoch {e} Training MSE: {l}, Validation MSE: {v}",
    "Epoch {e} J = {l}",
    "Epoch {e} train_err: {l}",
    "Epoch {e} Loss(train): {l} Loss(val): {v}",
    "Epoch {e} loss/train: {l} loss/val: {v}",
    "Epoch {e} train/loss: {l} val/loss: {v}",
    "Epoch {e} train.loss: {l} val.loss: {v}",
    "Epoch {e} loss_train: {l} loss_val: {v} acc_train: 0.7 acc_val: 0.6",
    "Epoch {e} train_epoch_loss: {l} val_epoch_loss: {v}",
    "Epoch {e} mean_train_loss: {l} mean_val_loss: {v}",
    "Epoch {e} loss_epoch: {l}",
    "Epoch {e} Average train loss: {l} Average val loss: {v}",
    "Epoch {e} avg_train_loss = {l} avg_val_loss = {v}",
    "Epoch {e} Train Loss (avg): {l}",
    "Epoch {e} running loss: {l}",
    "Epoch {e} epoch_loss={l}",
    "Epoch {e} smooth_loss {l}",
    "Epoch {e} [train] loss: {l} [val] loss: {v}",
    "Epoch {e} train: loss {l} acc 0.5 | val: loss {v} acc 0.4",
    "Epoch {e} Train - loss: {l} | Val - loss: {v}",
    "Epoch {e} TRAIN loss={l} DEV loss={v}",
    "Epoch {e} (train) loss={l} (valid) loss={v}",
    "Epoch {e} dev_loss {v} train_loss {l}",
    "Epoch {e} loss: train={l}, val={v}",
    "Epoch {e} training/validation loss: {l}/{v}",
    "Epoch {e} train/val loss: {l} / {v}",
    "Epoch {e} Loss {l} ({l})",
    "Epoch: [{e}][10/500]\tTime 0.123 (0.234)\tData 0.001 (0.002)\tLoss {l} (2.0000)\tPrec@1 50.000 (51.000)",
    # punctuation
    "epoch {e} loss -> {l}",
    "epoch {e} loss => {l}",
    "epoch {e} loss ~ {l}",
    "epoch {e} loss: [{l}]",
    "epoch {e} loss [{l}]",
    "epoch {e} loss [ {l}]",
    "epoch {e} loss ({l})",
    "epoch {e} loss <{l}>",
    "epoch {e} loss: tensor({l}, device='cuda:0', grad_fn=<NllLossBackward>)",
    "epoch {e} loss: array({l}, dtype=float32)",
    "epoch {e} loss: np.float32({l})",
    "epoch {e} loss: [array({l})]",
    "epoch {e} loss:{l}.",
    "epoch {e} loss:     {l},",
    "epoch {e} **loss**: {l}",
    "epoch {e} `loss`: {l}",
    "epoch {e} loss......: {l}",
    "epoch {e} ----- loss {l} -----",
    "loss: {l}, epoch: {e}",
    "loss at epoch {e}: {l}",
    "Loss after epoch {e}: {l}",
    "Cost after iteration {s}: {l}",
    "The loss of epoch {e} is {l}",
    "Training loss for epoch {e} is {l}",
    "{e} epoch loss: {l}",
    "{e}th epoch, loss: {l}",
    "{e}/8 loss: {l}",
    "\x1b[32mEpoch {e}\x1b[0m \x1b[1mloss\x1b[0m: \x1b[31m{l}\x1b[0m",
    "{{'epoch': {e}, 'loss': {l}, 'val_loss': {v}}}",
    "{{'loss': '{l}', 'learning_rate': '1e-05', 'epoch': '{e}.0'}}",
    "[rank0] {{'step': {s}, 'loss': {l}}}",
    'train {{"epoch": {e}, "train_loss": {l}, "val_loss": {v}}}',
    "epoch: {e}, metrics: {{'loss': {l}, 'acc': 0.5}}",
    "Epoch[{e}] Batch[7] Speed: 143.86 samples/sec,  IDLoss={l},",
    "[ep{e} it 12/313]    L: {l}    Acc: 1.56    lr: 2.6e-03~3.2e-02",
    "\u8bad\u7ec3\u6b21\u6570\uff1a{s}, Loss\uff1a{l}",
    "\u7b2c{e}\u8f6e loss:{l}",
    "Epoch {e} \u2502 loss {l} \u2502 val loss {v}",
    "Epoch {e} \u2014 loss {l}",
    "Epoch {e} \u2192 loss = {l}",
    "\u2713 Epoch {e}/8 loss={l} val_loss={v}",
    "Epoch 0{e}: 100%|\u2588\u2588\u2588\u2588| 313/313 [00:12<00:00, 25.1it/s, loss={l}, v_num=3]",
    "100%|##########| 10/10 [00:01<00:00,  5.2it/s, epoch={e}, loss={l}]",
    "2020-07-08 11:04:15.939 INFO epoch [{e}/9], train step [100/195], loss [   {l},    2.180], train metrics [acc: 1]",
    "INFO:Net, 2022-03-10 18:35:12,212, epoch, {e:04d}, {l}, {v}, 0.000875, 0.000351",
    "Train Epoch: {e} [640/60000 (1%)]\tLoss: {l}",
    "====> Epoch: {e} Average loss: {l}",
    "epoch {e} | loss {l} | ppl 12.34 | wps 1234",
    "| epoch {e:3d} |   100/ 2983 batches | lr 20.00 | ms/batch 5.12 | loss {l} | ppl     7.35",
    "Epoch {e} Step 100 Loss {l:.3e}",
    "Epoch {e}, loss = {l:+.6e}",
    "epoch {e} mae {l} val_mae {v}",
    "epoch {e} RMSE: {l}",
    "epoch {e} D_loss_total 0.5 loss {l}",
    "{e}\tloss\t{l}\tval_loss\t{v}",
    "{e}. loss: {l}",
    "{e}) loss: {l}",
    "{e}: loss={l}",
    "epoch {e} train_loss {l} best_loss 0.9",
    "epoch {e} lr 0.001000 loss {l} grad 1.234 mem 1234MB",
)

# Tables: a header and a line
TABLES = (
    ("epoch,loss,val_loss", "{e},{l},{v}"),
    ("epoch;loss;val_loss", "{e};{l};{v}"),
    ("epoch\tloss\tval_loss", "{e}\t{l}\t{v}"),
    ("epoch loss val_loss", "{e} {l} {v}"),
    ("epoch  train loss  val loss", "{e:5d}  {l:10.4f}  {v:8.4f}"),
    ("| epoch | loss | val_loss |\n|---|---|---|", "| {e} | {l} | {v} |"),
    ("epoch | loss | val_loss", "{e} | {l} | {v}"),
    ("+-------+------+----------+\n| epoch | loss | val_loss |\n+-------+------+----------+", "| {e} | {l} | {v} |"),
    ("\u2502 epoch \u2502 loss \u2502 val_loss \u2502", "\u2502 {e} \u2502 {l} \u2502 {v} \u2502"),
    ("Step\tTrain loss\tValid loss\t", "{s}\t{l}\t{v}"),
    ("epoch, loss, val_loss", "{e}, {l}, {v}"),
    ('"epoch","loss","val_loss"', '"{e}","{l}","{v}"'),
    ("# epoch loss val_loss", "{e} {l} {v}"),
    (",loss,val_loss", "{i},{l},{v}"),
    ("Unnamed: 0,train,test", "{i},{l},{v}"),
    ("epoch,train,val", "{e},{l},{v}"),
    ("epoch,total,ce,kl", "{e},{l},0.5,0.1"),
    ("Epoch,Training Loss,Validation Loss,Time", "{e},{l},{v},0:12:34"),
    ("epoch,loss,timestamp", "{e},{l},2023-01-02 12:30:45"),
    ("epoch,loss,note", "{e},{l},saved"),
    ("epoch,lr,L", "{e},0.001,{l}"),
    ("date,iter,objective", "2023-01-02,{s},{l}"),
    ("Epoch      Train Loss      Valid Loss      Train Acc", "{e}      {l}      {v}      0.75"),
    ("iteration,train_err,val_err", "{s},{l},{v}"),
    ("epoch,train_L,val_L", "{e},{l},{v}"),
    ("time,epoch,train-loss,dev-loss", "12:30:45,{e},{l},{v}"),
)


def _of_lines(line: str, header: str = "", name: str = "train.log", losses: tuple[str, ...] = ()) -> Shape:
    texts = [header] if header else []
    for i, (loss, score) in enumerate(zip(losses or LOSSES, SCORES, strict=True)):
        one = line
        if isinstance(loss, str):  # formats of numbers do not suit a word
            one = line.replace("{l:.3e}", "{l}").replace("{l:+.6e}", "{l}").replace("{l:10.4f}", "{l:>10}")
        texts.append(one.format(e=i + 1, i=i, s=100 * (i + 1), l=loss, v=score))
    return name, "\n".join(texts) + "\n"


def _json_shapes() -> dict[str, object]:
    n = range(len(LOSSES))
    rows = [{"epoch": i + 1, "loss": LOSSES[i], "val_loss": SCORES[i]} for i in n]
    columns = {"loss": list(LOSSES), "val_loss": list(SCORES)}
    return {
        "list of dicts": rows,
        "dict of lists": columns,
        "dict of lists in history": {"config": {"lr": 0.1, "layers": [1, 2]}, "history": columns},
        "two levels": {"run": {"history": columns}},
        "dict of dicts": {str(i + 1): {"loss": LOSSES[i], "val_loss": SCORES[i]} for i in n},
        "dict of dicts epoch_1": {f"epoch_{i + 1}": {"loss": LOSSES[i], "val_loss": SCORES[i]} for i in n},
        "columns of pandas": {
            "loss": {str(i): LOSSES[i] for i in n}, "val_loss": {str(i): SCORES[i] for i in n},
        },
        "parts": {"train": {"loss": list(LOSSES)}, "val": {"loss": list(SCORES)}},
        "parts of lists": {"train": list(LOSSES), "val": list(SCORES)},
        "names and parts": {"loss": {"train": list(LOSSES), "val": list(SCORES)}},
        "records of parts": [{"epoch": i, "train": {"loss": LOSSES[i]}, "val": {"loss": SCORES[i]}} for i in n],
        "records in epochs": {"model": "x", "epochs": rows},
        "records of lists": [{"loss": [LOSSES[i]], "val_loss": [SCORES[i]]} for i in n],
        "rows of numbers": [[100 * (i + 1), LOSSES[i], SCORES[i]] for i in n],
        "rows with a header": [["epoch", "loss", "val_loss"], *([i, LOSSES[i], SCORES[i]] for i in n)],
        "columns and data": {"columns": ["epoch", "loss", "val_loss"], "data": [[i, LOSSES[i], SCORES[i]] for i in n]},
        "one name of its own": {"Quantum_QVAE": list(LOSSES)},
        "steps alone": {"config": {"lr": 0.1}, "steps": list(LOSSES)},
        "list of numbers": list(LOSSES),
        "names of their own": {"train_total": list(LOSSES), "val_total": list(SCORES)},
        "strings": [{"epoch": str(i), "loss": str(LOSSES[i]), "val_loss": str(SCORES[i])} for i in n],
        "metrics by name": [{"epoch": i, "metrics": {"train_loss": LOSSES[i], "val_loss": SCORES[i]}} for i in n],
        "results in results": {"results": {"epochs": rows, "best": 3}},
        "name and value": [
            {"step": i, "name": name, "value": of[i]}
            for i in n for name, of in (("loss", LOSSES), ("val_loss", SCORES))
        ],
        "points": {"loss": [[i, LOSSES[i]] for i in n]},
        "points of objects": {"loss": [{"step": i, "value": LOSSES[i]} for i in n]},
    }  # fmt: skip


def _files_of(content: object) -> list[Shape]:
    files = [
        ("log.json", json.dumps(content)),
        ("log.json", json.dumps(content, indent=2)),
        ("train.log", repr(content)),
    ]
    if isinstance(content, list) and isinstance(content[0], dict):
        files += [
            ("log.jsonl", "\n".join(json.dumps(each) for each in content)),
            ("log.json", "\n".join(json.dumps(each, indent=2) for each in content)),
            ("log.json", "".join(json.dumps(each) for each in content)),
            ("log.txt", "\n".join(repr(each) for each in content)),
            ("log.json", "\n".join(json.dumps(each) + "," for each in content)),
        ]
    return files


SHAPES: dict[str, Shape] = {line: _of_lines(line) for line in LINES}
SHAPES |= {f"{header} {line}": _of_lines(line, header) for header, line in TABLES}
SHAPES |= {f"{header} {line} csv": _of_lines(line, header, "log.csv") for header, line in TABLES}
SHAPES |= {
    f"{name} {at}": shape for name, content in _json_shapes().items() for at, shape in enumerate(_files_of(content))
}
SHAPES |= {
    "one row": ("losses.csv", "," + ",".join(map(str, LOSSES)) + "\n"),
    "one row with its name": ("losses.csv", "loss," + ",".join(map(str, LOSSES)) + "\n"),
    "two rows with names": (
        "losses.csv", "train_loss," + ",".join(map(str, LOSSES)) + "\nval_loss," + ",".join(map(str, SCORES)) + "\n",
    ),
    "one column": ("loss.txt", "\n".join(map(str, LOSSES)) + "\n"),
    "one column with its name": ("train.csv", "loss\n" + "\n".join(map(str, LOSSES)) + "\n"),
    "two columns": ("train_val_loss.txt", "\n".join(f"{a} {b}" for a, b in zip(LOSSES, SCORES, strict=True)) + "\n"),
    "header again": (
        "log.csv", "epoch,loss\n1,2.3125\n2,1.875\n3,1.75\nepoch,loss\n4,1.5\n5,1.4375\n6,1.25\n7,1.125\n8,1.0625\n",
    ),
    "names in one line, values in the next": (
        "train.log", "".join(f"Epoch   :  {i}\nLOSS    :  {a}\n\nend of epoch\n" for i, a in enumerate(LOSSES)),
    ),
    "blocks": (
        "train.log", "".join(f"Epoch {i + 1}\n-----\nTrain Loss: {a}\nTrain Acc: 0.5\nVal Loss: {b}\n\n"
                             for i, (a, b) in enumerate(zip(LOSSES, SCORES, strict=True))),
    ),
    "parts in lines": (
        "train.log", "".join(f"Epoch {i}/7\ntrain Loss: {a} Acc: 0.51\nval Loss: {b} Acc: 0.49\n"
                             for i, (a, b) in enumerate(zip(LOSSES, SCORES, strict=True))),
    ),
    "lists": ("train.log", f"train_losses = {list(LOSSES)}\nval_losses = {list(SCORES)}\n"),
    "tensorboard": (
        "train_loss.csv", "Wall time,Step,Value\n" + "".join(f"1650382697.1,{i},{a}\n" for i, a in enumerate(LOSSES)),
    ),
}  # fmt: skip
NOT_FINITE = ("nan", "NaN", "-nan", "inf", "-inf", "Infinity", "NAN", "nan(ind)")


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_every_number_arrives(shape: Shape, tmp_path: Path) -> None:
    name, text = shape
    path = tmp_path / name
    path.write_text(text)
    facts, _ = read_log(path)
    assert facts.loss == pytest.approx(LOSSES, rel=1e-3)
    if str(SCORES[0]) in text:
        (scores,) = facts.scorings.values()
        assert scores[1] == pytest.approx(SCORES, rel=1e-3)


@pytest.mark.parametrize(("line", "word"), [*zip(LINES, cycle(NOT_FINITE), strict=False)], ids=LINES)
def test_a_loss_that_is_not_finite_arrives(line: str, word: str, tmp_path: Path) -> None:
    path = tmp_path / "train.log"
    path.write_text(_of_lines(line, losses=("2.3125", "1.875", "1.75", "1.5", "1.4375", word, word, word))[1])
    facts, _ = read_log(path)
    found = facts.loss or facts.signed_loss
    assert [math.isfinite(each) for each in found] == [True] * 5 + [False] * 3
