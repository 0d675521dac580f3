"""What training programs print, each in its documented shape with made-up numbers, and what is read of it."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import pytest

from dpdrun.diagnosis.logs import key_value_log
from dpdrun.diagnosis.logs.formats import read_log
from dpdrun.errors import DataError

PRINTED: dict[str, tuple[str, dict[str, Any]]] = {
    "LitGPT, iterations in optimizer steps": (
        "Epoch 1 | iter 1 step 0 | loss train: 2.4, val: n/a | iter time: 78.1 ms\n"
        "Epoch 1 | iter 2 step 0 | loss train: 2.3, val: n/a | iter time: 80.7 ms\n"
        "Epoch 1 | iter 3 step 0 | loss train: 2.2, val: n/a | iter time: 77.8 ms\n"
        "Epoch 1 | iter 4 step 1 | loss train: 2.1, val: n/a | iter time: 76.5 ms (step)\n",
        {'loss': [2.4, 2.3, 2.2, 2.1], 'step': [1, 2, 3, 4]},
    ),
    "a bar that is full at the end of each epoch": (
        "Epoch 1/3\n599/599 - accuracy: 0.37 - loss: 0.99 - val_loss: 0.86 - learning_rate: 0.001\n"
        "Epoch 2/3\n599/599 - accuracy: 0.60 - loss: 0.64 - val_loss: 0.70 - learning_rate: 0.001\n"
        "Epoch 3/3\n599/599 - accuracy: 0.72 - loss: 0.51 - val_loss: 0.53 - learning_rate: 0.001\n",
        {'loss': [0.99, 0.64, 0.51], 'step': [1, 2, 3], 'val_loss': [0.86, 0.7, 0.53], 'lr': [0.001] * 3},
    ),
    "bars of Keras that are never full": (
        " 64/60000 [..............................] - ETA: 10:00 - loss: 2.5 - acc: 0.1\n"
        " 128/60000 [..............................] - ETA: 10:00 - loss: 2.4 - acc: 0.1\n",
        {'loss': [2.5, 2.4], 'step': [64, 128]},
    ),
    "the MNIST example of PyTorch": (
        "Train Epoch: 1 Loss: 0.5000\n\nTest set: Average loss: 0.4000, Accuracy: 9000/10000 (90%)\n\n"
        "Train Epoch: 2 Loss: 0.3000\n\nTest set: Average loss: 0.2000, Accuracy: 9100/10000 (91%)\n\n",
        {'loss': [0.5, 0.3], 'step': [1, 2], 'val_loss': [0.4, 0.2]},
    ),
    "DeepSpeech, whose steps are those of a pass": (
        "".join(
            f"Epoch {k} |   Training | Elapsed Time: 0:00:10 | Steps: 100 | Loss: {5.0 - k}\n"
            f"Epoch {k} | Validation | Elapsed Time: 0:00:05 | Steps: 10 | Loss: {5.5 - k} | Dataset: dev.csv\n"
            for k in range(5)
        ),
        {'loss': [5.0, 4.0, 3.0, 2.0, 1.0], 'step': [0, 1, 2, 3, 4], 'val_loss': [5.5, 4.5, 3.5, 2.5, 1.5]},
    ),
    "a total next to its heads": (
        "Step 100/900000, Total Loss: 2.5, Mel Loss: 1.0, Mel PostNet Loss: 1.0, Pitch Loss: 0.5\n"
        "Step 200/900000, Total Loss: 2.0, Mel Loss: 0.8, Mel PostNet Loss: 0.8, Pitch Loss: 0.4\n",
        {'loss': [2.5, 2.0], 'step': [100, 200]},
    ),
    "MXNet, accuracies alone": (
        "INFO:root:Epoch[0] Train-accuracy=0.600000\nINFO:root:Epoch[0] Validation-accuracy=0.511429\n"
        "INFO:root:Epoch[1] Train-accuracy=1.000000\nINFO:root:Epoch[1] Validation-accuracy=0.511429\n",
        {'loss': [0.4, 0.001], 'step': [0, 1], 'val_loss': [0.488571, 0.488571]},
    ),
    "accuracies next to a loss are none": (
        "epoch 1, loss 0.5, train acc 0.7, val acc 0.6\nepoch 2, loss 0.4, train acc 0.8, val acc 0.7\n",
        {'loss': [0.5, 0.4], 'step': [1, 2]},
    ),
    "DeepXDE": (
        "Step      Train loss                Test loss                 Test metric\n"
        "0         [2.50e+00, 5.00e-01]      [2.00e+00, 4.00e-01]      []\n"
        "1000      [1.50e+00, 2.50e-01]      [1.00e+00, 2.00e-01]      []\n",
        {'loss': [3.0, 1.75], 'step': [0, 1000], 'val_loss': [2.4, 1.2]},
    ),
    "objects among other lines": (
        '{"epoch": 1, "train_loss": 0.5}\nsaved the checkpoint\n{"epoch": 2, "train_loss": 0.4}\n',
        {'loss': [0.5, 0.4], 'step': [1, 2]},
    ),
    "mpirun --tag-output": (
        "[1,0]<stderr>:INFO:tensorflow:loss = 2.5, step = 100 (7.4 sec)\n"
        "[1,0]<stderr>:INFO:tensorflow:loss = 2.4, step = 200 (7.4 sec)\n",
        {'loss': [2.5, 2.4], 'step': [100, 200]},
    ),
    "steps per epoch, not a step": (
        "Epoch: 1, Steps: 200 | Train Loss: 0.5 Vali Loss: 0.6 Test Loss: 0.3\n"
        "Epoch: 2, Steps: 200 | Train Loss: 0.4 Vali Loss: 0.5 Test Loss: 0.3\n"
        "Epoch: 3, Steps: 200 | Train Loss: 0.3 Vali Loss: 0.4 Test Loss: 0.3\n",
        {'loss': [0.5, 0.4, 0.3], 'step': [1, 2, 3], 'val_loss': [0.6, 0.5, 0.4]},
    ),
    "Tacotron 2": (
        "Train loss 0 4.561500 Grad Norm 1.25 1.20s/it\nTrain loss 1 4.401100 Grad Norm 1.05 1.20s/it\n",
        {'loss': [4.5615, 4.4011], 'step': [0, 1], 'grad_norm': [1.25, 1.05]},
    ),
    "WaveGlow": ("0:\t3.125000000\n100:\t2.500000000\n", {'loss': [3.125, 2.5], 'step': [0, 100]}),
    "the seq2seq tutorial of PyTorch": (
        "0m 10s (- 9m 50s) (1000 1%) 3.1250\n0m 20s (- 9m 40s) (2000 2%) 2.5000\n",
        {'loss': [3.125, 2.5], 'step': [1000, 2000]},
    ),
    "a printed tensor": (
        "0 tensor(3.1250, grad_fn=<MseLossBackward0>)\n1 tensor(2.5000, grad_fn=<MseLossBackward0>)\n",
        {'loss': [3.125, 2.5], 'step': [0, 1]},
    ),
    "a printed scalar of NumPy": (
        "step 1: loss = np.float32(3.125)\nstep 2: loss = np.float32(2.5)\n", {'loss': [3.125, 2.5], 'step': [1, 2]}
    ),
    "the description of a progress bar": (
        "loss: 3.125:   1%|#    | 1/100 [00:10<10:00,  1.0it/s]\nloss: 2.5:   2%|#    | 2/100 [00:20<10:00]\n",
        {'loss': [3.125, 2.5], 'step': [1, 2]},
    ),
    "a box of Stable Baselines": (
        "| time/            |      |\n|    total_timesteps | 2048 |\n| train/    |      |\n|    loss  | 3.125 |\n"
        "| time/            |      |\n|    total_timesteps | 4096 |\n| train/           |      |\n|    loss  | 2.5 |\n",
        {'loss': [3.125, 2.5]},
    ),
    "loss_t and loss_v": (
        "epoch  1  loss_t  196.9  loss_ct 0.0  loss_v  195.6  loss_min 195.6\n"
        "epoch  2  loss_t  190.9  loss_ct 0.0  loss_v  191.6  loss_min 191.6\n",
        {'loss': [196.9, 190.9], 'step': [1, 2], 'val_loss': [195.6, 191.6]},
    ),
    "Caffe": (
        "I0401 12:00:00 1234 solver.cpp:228] Iteration 0, loss = 2.3\n"
        "I0401 12:00:00 1234 solver.cpp:244]     Train net output #0: loss = 2.3 (* 1 = 2.3 loss)\n"
        "I0401 12:00:01 1234 sgd_solver.cpp:106] Iteration 0, lr = 0.01\n"
        "I0401 12:00:01 1234 solver.cpp:228] Iteration 100, loss = 1.9\n"
        "I0401 12:00:01 1234 solver.cpp:244]     Train net output #0: loss = 1.9 (* 1 = 1.9 loss)\n"
        "I0401 12:00:01 1234 sgd_solver.cpp:106] Iteration 100, lr = 0.01\n"
        "I0401 12:00:02 1234 solver.cpp:228] Iteration 200, loss = 1.5\n"
        "I0401 12:00:02 1234 solver.cpp:244]     Train net output #0: loss = 1.5 (* 1 = 1.5 loss)\n"
        "I0401 12:00:01 1234 sgd_solver.cpp:106] Iteration 200, lr = 0.01\n"
        "I0401 12:00:09 1234 solver.cpp:404]     Test net output #0: accuracy = 0.5\n"
        "I0401 12:00:09 1234 solver.cpp:404]     Test net output #1: loss = 1.6 (* 1 = 1.6 loss)\n",
        {'loss': [2.3, 1.9, 1.5], 'step': [0, 100, 200], 'lr': [0.01, 0.01, 0.01], 'val_loss': [1.6]},
    ),
    "MXNet": (
        "INFO:root:Epoch[0] Batch [100]\tSpeed: 1000.11 samples/sec\tcross-entropy=1.20\n"
        "INFO:root:Epoch[0] Batch [200]\tSpeed: 1000.11 samples/sec\tcross-entropy=1.00\n"
        "INFO:root:Epoch[0] Train-cross-entropy=0.95\n"
        "INFO:root:Epoch[0] Time cost=12.3\n"
        "INFO:root:Epoch[0] Validation-cross-entropy=0.99\n",
        {'loss': [1.2, 1.0], 'step': [100, 200], 'val_loss': [0.99]},
    ),
    "MXNet, epochs alone": (
        "INFO:root:Epoch[0] Train-cross-entropy=0.95\n"
        "INFO:root:Epoch[0] Time cost=12.3\n"
        "INFO:root:Epoch[0] Validation-cross-entropy=0.99\n"
        "INFO:root:Epoch[1] Train-cross-entropy=0.85\n"
        "INFO:root:Epoch[1] Time cost=12.3\n"
        "INFO:root:Epoch[1] Validation-cross-entropy=0.89\n",
        {'loss': [0.95, 0.85], 'step': [0, 1], 'val_loss': [0.99, 0.89]},
    ),
    "TensorFlow Estimator": (
        "INFO:tensorflow:loss = 0.69, step = 1\n"
        "INFO:tensorflow:global_step/sec: 123.4\n"
        "INFO:tensorflow:loss = 0.55, step = 101 (0.811 sec)\n"
        "INFO:tensorflow:Saving dict for global step 200: accuracy = 0.9, global_step = 200, "
        "loss = 0.5\n",
        {'loss': [0.69, 0.55], 'step': [1, 101], 'val_loss': [0.5]},
    ),
    "TF-Slim": (
        "INFO:tensorflow:global step 100: loss = 1.2000 (0.311 sec/step)\n"
        "INFO:tensorflow:global step 110: loss = 1.1000 (0.311 sec/step)\n",
        {'loss': [1.2, 1.1], 'step': [100, 110]},
    ),
    "TensorFlow Object Detection 2": (
        "INFO:tensorflow:Step 100 per-step time 0.512s loss=0.912\n"
        "INFO:tensorflow:Step 200 per-step time 0.512s loss=0.812\n",
        {'loss': [0.912, 0.812], 'step': [100, 200]},
    ),
    "Darknet": (
        " 1: 694.5123, 694.5123 avg loss, 0.000000 rate, 9.2 seconds, 64 images\n"
        " 2: 690.1, 694.0 avg loss, 0.001 rate, 9.2 seconds, 128 images\n"
        " 3: 650.1, 690.0 avg loss, 0.001 rate, 9.2 seconds, 192 images\n",
        {'loss': [694.5123, 694.0, 690.0], 'step': [1, 2, 3], 'lr': [0, 0.001, 0.001]},
    ),
    "PyTorch word_language_model": (
        "| epoch   1 |   200/ 2983 batches | lr 20.00 | ms/batch 18.68 | loss  7.63 | ppl  2049.68\n"
        "| epoch   1 |   400/ 2983 batches | lr 20.00 | ms/batch 18.68 | loss  6.85 | ppl   943.88\n"
        "-----------------------------------------------------------------------------------------\n"
        "| end of epoch   1 | time: 45.29s | valid loss  5.71 | valid ppl   302.30\n",
        {'loss': [7.63, 6.85], 'step': [200, 400], 'lr': [20, 20], 'val_loss': [5.71], 'loss_unit': 'nats'},
    ),
    "OpenNMT-py": (
        "[2019-01-01 10:00:00,123 INFO] Step 50/100000; acc:   4.22; ppl: 9999.91; xent: "
        "9.21; lr: 0.00001; 3000/3100 tok/s;     20 sec\n"
        "[2019-01-01 10:00:20,123 INFO] Step 100/100000; acc:   5.22; ppl: 4999.91; xent: "
        "8.52; lr: 0.00002; 3000/3100 tok/s;     40 sec\n"
        "[2019-01-01 10:00:30,123 INFO] Validation perplexity: 403.4288\n"
        "[2019-01-01 10:00:30,123 INFO] Validation accuracy: 24.5\n",
        {'loss': [9.21, 8.52], 'step': [50, 100], 'lr': [1e-05, 2e-05], 'val_loss': [6.0], 'loss_unit': 'nats'},
    ),
    "OpenNMT-py 0.1": (
        "Epoch  1,    50/ 5000; acc:   3.69; ppl: 2980.96; 4000 src tok/s; 4100 tgt tok/s;    "
        " 10 s elapsed\n"
        "Epoch  1,   100/ 5000; acc:   3.69; ppl: 1096.63; 4000 src tok/s; 4100 tgt tok/s;    "
        " 10 s elapsed\n",
        {'loss': [8.0, 7.0], 'step': [50, 100], 'loss_unit': 'nats'},
    ),
    "Marian": (
        "[2021-07-17 12:54:33] Ep. 1 : Up. 1000 : Sen. 965,843 : Cost 5.20174599 : Time "
        "359.59s : 3007.81 words/s : L.r. 3.0000e-04\n"
        "[2021-07-17 12:55:33] Ep. 1 : Up. 2000 : Sen. 1,965,843 : Cost 4.2 : Time 359.59s : "
        "3007.81 words/s : L.r. 3.0000e-04\n"
        "[2021-07-17 13:50:36] [valid] Ep. 1 : Up. 2000 : ce-mean-words : 4.5 : new best\n",
        {'loss': [5.20174599, 4.2], 'step': [1000, 2000], 'lr': [0.0003, 0.0003], 'val_loss': [4.5]},
    ),
    "XLM": (
        "INFO - 08/01/19 14:20:20 - 2:02:04 -    3550 -    6.84 sent/s -   267.24 words/s - "
        "MLM-en:  7.5730 -  - model LR: 1.0000e-04\n"
        "INFO - 08/01/19 14:20:30 - 2:02:14 -    3555 -    6.83 sent/s -   260.45 words/s - "
        "MLM-en:  7.4089 -  - model LR: 1.0000e-04\n",
        {'loss': [7.573, 7.4089], 'step': [3550, 3555], 'lr': [0.0001, 0.0001]},
    ),
    "LitGPT": (
        "Epoch 1 | iter 1 step 0 | loss train: 4.5, val: n/a | iter time: 200.00 ms\n"
        "Epoch 1 | iter 2 step 1 | loss train: 4.4, val: n/a | iter time: 200.00 ms (step)\n"
        "Epoch 1 | iter 3 step 2 | loss train: 4.3, val: 4.6 | iter time: 200.00 ms (step)\n"
        "iter 3: val loss 4.5, val time: 123.00 ms\n",
        {'loss': [4.5, 4.4, 4.3], 'step': [0, 1, 2], 'val_loss': [4.5]},
    ),
    "DeepSpeed": (
        "steps: 10 loss: 9.2 iter time (s): 0.5 samples/sec: 10.1\n"
        "steps: 20 loss: 8.2 iter time (s): 0.5 samples/sec: 10.1\n",
        {'loss': [9.2, 8.2], 'step': [10, 20]},
    ),
    "Paddle v2": (
        "Pass 0, Batch 0, Cost 2.30, {'classification_error_evaluator': 0.9}\n"
        "Pass 0, Batch 100, Cost 1.30, {'classification_error_evaluator': 0.4}\n",
        {'loss': [2.3, 1.3], 'step': [0, 100]},
    ),
    "Flair": (
        "2020-01-01 10:00:00,123 epoch 1 - iter 10/100 - loss 2.34 - samples/sec: 100.1 - lr: 0.1\n"
        "2020-01-01 10:00:00,123 epoch 1 - iter 20/100 - loss 2.14 - samples/sec: 100.1 - lr: 0.1\n"
        "2020-01-01 10:00:00,123 EPOCH 1 done: loss 2.1 - lr 0.1\n"
        "2020-01-01 10:00:00,123 DEV : loss 1.9 - score 0.5\n",
        {'loss': [2.34, 2.14], 'step': [10, 20], 'val_loss': [1.9], 'lr': [0.1, 0.1]},
    ),
    "ESPnet": (
        "[host] 2020-01-01 10:00:00,123 (trainer:600) INFO: 1epoch:train:1-100batch: "
        "iter_time=0.1, forward_time=0.2, loss_ctc=50.1, loss_att=20.1, acc=0.3, loss=30.5, op"
        "tim0_lr0=1.0e-04, train_time=1.5\n"
        "[host] 2020-01-01 10:00:00,123 (trainer:600) INFO: 1epoch:train:101-200batch: "
        "iter_time=0.1, forward_time=0.2, loss_ctc=40.1, loss_att=20.1, acc=0.3, loss=28.5, op"
        "tim0_lr0=2.0e-04, train_time=1.5\n",
        {'loss': [30.5, 28.5], 'lr': [0.0001, 0.0002]},
    ),
    "kohya sd-scripts": (
        "steps:   1%|          | 10/1000 [00:10<16:30,  1.00it/s, avr_loss=0.12]\r"
        "steps:   2%|          | 20/1000 [00:20<16:20,  1.00it/s, avr_loss=0.11]\r",
        {'loss': [0.12, 0.11], 'step': [10, 20]},
    ),
    "diffusers": (
        "Steps:   1%|          | 10/1000 [00:10<16:30,  1.00it/s, lr=1e-5, step_loss=0.12]\r"
        "Steps:   2%|          | 20/1000 [00:20<16:20,  1.00it/s, lr=1e-5, step_loss=0.11]\r",
        {'loss': [0.12, 0.11], 'step': [10, 20], 'lr': [1e-05, 1e-05]},
    ),
    "scikit-learn MLP": (
        "Iteration 1, loss = 2.30\n"
        "Iteration 2, loss = 1.30\n"
        "Validation score: 0.5\n",
        {'loss': [2.3, 1.3], 'step': [1, 2]},
    ),
    "names in brackets": (
        "INFO - [R0] | E5 iter[ 14/ 15] | [Loss] 51566519.44 | [step]    89 | [time] 0.4m\n"
        "INFO - [R0] | E6 iter[ 14/ 15] | [Loss] nan | [step]   104 | [time] 0.4m\n",
        {'loss': [51566519.44, math.nan], 'step': [89, 104]},
    ),
    "name(value)": (
        "step(10) loss(2.5) lr(0.1)\n"
        "step(20) loss(2.4) lr(0.1)\n",
        {'loss': [2.5, 2.4], 'step': [10, 20], 'lr': [0.1, 0.1]},
    ),
    "tensors": (
        "Epoch 1, loss: tensor(0.5, device='cuda:0', grad_fn=<A>)\n"
        "Epoch 2, loss: tensor(0.4, device='cuda:0')\n",
        {'loss': [0.5, 0.4], 'step': [1, 2]},
    ),
    "arrows": (
        "epoch 1 -> loss -> 0.5\n"
        "epoch 2 -> loss -> 0.4\n",
        {'loss': [0.5, 0.4], 'step': [1, 2]},
    ),
    "thousands": (
        "Step 1,000: loss 2.5\n"
        "Step 2,000: loss 2.4\n",
        {'loss': [2.5, 2.4], 'step': [1000, 2000]},
    ),
    "objective": (
        "iter 10 objective: 2.5\n"
        "iter 20 objective: 2.4\n",
        {'loss': [2.5, 2.4], 'step': [10, 20]},
    ),
    "fairseq 2018": (
        "| epoch 001:    370 / 614 loss=10.093, nll_loss=10.093, ppl=1092.29, wps=1334, "
        "ups=3.0, wpb=439, bsz=18, num_updates=371, lr=0.05, gnorm=0.788, clip=100%, oom=0\n"
        "| epoch 001:    380 / 614 loss=10.071, nll_loss=10.071, ppl=1075.98, wps=1337, "
        "ups=3.0, wpb=441, bsz=18, num_updates=381, lr=0.05, gnorm=0.788, clip=100%, oom=0\n",
        {'loss': [10.093, 10.071], 'step': [371, 381], 'grad_norm': [0.788, 0.788], 'loss_unit': 'bits'},
    ),
    "fairseq 2017": (
        "| epoch 001  1000 / 331737 loss=9.57 (10.94), wps=18515, wpb=31259, bsz=861, "
        "lr=1.25, clip=100%, gnorm=2.0540\n"
        "| epoch 001  2000 / 331737 loss=8.61 (9.91), wps=18466, wpb=31229, bsz=877, lr=1.25, "
        "clip=100%, gnorm=1.7149\n",
        {'loss': [9.57, 8.61], 'step': [1000, 2000], 'loss_unit': 'bits'},
    ),
    "CatBoost": (
        "0:\tlearn: 0.6406\ttest: 0.6433\tbest: 0.6433 (0)\ttotal: 10ms\tremaining: 10s\n"
        "1:\tlearn: 0.6006\ttest: 0.6133\tbest: 0.6133 (1)\ttotal: 10ms\tremaining: 10s\n",
        {'loss': [0.6406, 0.6006], 'step': [0, 1], 'val_loss': [0.6433, 0.6133]},
    ),
    "XGBoost": (
        "[0]\ttrain-logloss:0.64\teval-logloss:0.65\n"
        "[1]\ttrain-logloss:0.60\teval-logloss:0.63\n",
        {'loss': [0.64, 0.6], 'step': [0, 1], 'val_loss': [0.65, 0.63]},
    ),
    "train/val": (
        "Epoch 1: train/val loss: 0.5/0.6\n"
        "Epoch 2: train/val loss: 0.4/0.5\n",
        {'loss': [0.5, 0.4], 'step': [1, 2], 'val_loss': [0.6, 0.5]},
    ),
    "dicts": (
        "{'step': 10, 'loss': 2.5}\n"
        "{'step': 20, 'loss': 2.4}\n",
        {'loss': [2.5, 2.4], 'step': [10, 20]},
    ),
    "an epoch in three lines": (
        "Epoch 1\n"
        "Train Loss: 0.5 | Train Acc: 80%\n"
        "\t Val. Loss: 0.600 |  Val. Acc: 81.00%\n"
        "Epoch 2\n"
        "Train Loss: 0.4 | Train Acc: 80%\n"
        "\t Val. Loss: 0.500 |  Val. Acc: 81.00%\n",
        {'loss': [0.5, 0.4], 'step': [1, 2], 'val_loss': [0.6, 0.5]},
    ),
    "perplexity next to the loss": (
        "Epoch: 01 | Time: 0m 30s\n"
        "\tTrain Loss: 5.011 | Train PPL: 150.033\n"
        "\t Val. Loss: 4.9 |  Val. PPL: 134.29\n"
        "Epoch: 02 | Time: 0m 30s\n"
        "\tTrain Loss: 4.011 | Train PPL: 55.2\n"
        "\t Val. Loss: 4.5 |  Val. PPL: 90.0\n",
        {'loss': [5.011, 4.011], 'step': [1, 2], 'val_loss': [4.9, 4.5], 'loss_unit': 'nats'},
    ),
    "perplexity alone": (
        "Epoch: 1 Learning rate: 1.000\n"
        "0.004 perplexity: 2980.9580 speed: 1577 wps\n"
        "0.104 perplexity: 1096.6332 speed: 3000 wps\n"
        "Epoch: 1 Train Perplexity: 403.4288\n"
        "Epoch: 1 Valid Perplexity: 148.4132\n",
        {'loss': [8, 7], 'val_loss': [5]},
    ),
    "CIFAR tutorial of PyTorch": (
        "[1,  2000] loss: 2.173\n"
        "[1,  4000] loss: 1.873\n"
        "[2,  2000] loss: 1.573\n"
        "[2,  4000] loss: 1.4\n",
        {'step': [2000, 4000, 6000, 8000], 'loss': [2.173, 1.873, 1.573, 1.4]},
    ),
    "MindSpore": (
        "epoch: 1 step: 10, loss is 2.5\n"
        "epoch: 1 step: 20, loss is 2.4\n"
        "epoch: 1 step: 30, loss is 2.3\n",
        {'step': [10, 20, 30], 'loss': [2.5, 2.4, 2.3]},
    ),
    "cost after an iteration": (
        "Cost after iteration 10: 2.5\n"
        "Cost after iteration 20: 2.4\n"
        "Cost after iteration 30: 2.3\n",
        {'step': [10, 20, 30], 'loss': [2.5, 2.4, 2.3]},
    ),
    "loss at a step": (
        "Average loss at step  10 :  2.5\n"
        "Average loss at step  20 :  2.4\n"
        "Average loss at step  30 :  2.3\n",
        {'step': [10, 20, 30], 'loss': [2.5, 2.4, 2.3]},
    ),
    "loss (for one batch) at a step": (
        "Training loss (for one batch) at step 10: 2.5\n"
        "Training loss (for one batch) at step 20: 2.4\n"
        "Training loss (for one batch) at step 30: 2.3\n",
        {'step': [10, 20, 30], 'loss': [2.5, 2.4, 2.3]},
    ),
    "the loss at a step is": (
        "The loss at step 10 is 2.5\n"
        "The loss at step 20 is 2.4\n"
        "The loss at step 30 is 2.3\n",
        {'step': [10, 20, 30], 'loss': [2.5, 2.4, 2.3]},
    ),
    "TensorFlow examples": (
        "Iter 10, Minibatch Loss= 2.5, Training Accuracy= 0.2\n"
        "Iter 20, Minibatch Loss= 2.4, Training Accuracy= 0.2\n"
        "Iter 30, Minibatch Loss= 2.3, Training Accuracy= 0.2\n",
        {'step': [10, 20, 30], 'loss': [2.5, 2.4, 2.3]},
    ),
    "llama.cpp": (
        "train_opt_callback: iter=    10 sample=11/57 sched=0.1 loss=2.5 dt=00:00:10 eta=00:10:00 |->\n"
        "train_opt_callback: iter=    20 sample=11/57 sched=0.1 loss=2.4 dt=00:00:10 eta=00:10:00 |->\n"
        "train_opt_callback: iter=    30 sample=11/57 sched=0.1 loss=2.3 dt=00:00:10 eta=00:10:00 |->\n",
        {'step': [10, 20, 30], 'loss': [2.5, 2.4, 2.3]},
    ),
    "ms-swift": (
        "{'loss': 2.5, 'token_acc': 0.5, 'grad_norm': 1.0, 'learning_rate': 1e-05, "
        "'memory(GiB)': 10.1, 'epoch': 0.1, 'global_step/max_steps': '10/100'}\n"
        "{'loss': 2.4, 'token_acc': 0.5, 'grad_norm': 1.0, 'learning_rate': 1e-05, 'epoch': "
        "0.2, 'global_step/max_steps': '20/100'}\n",
        {'loss': [2.5, 2.4], 'step': [10, 20]},
    ),
    "nnU-Net": (
        "2023-01-01 10:00:00.123456: Epoch 0\n"
        "2023-01-01 10:00:00.123456: Current learning rate: 0.01\n"
        "2023-01-01 10:02:00.123456: train_loss 0.2\n"
        "2023-01-01 10:02:00.123456: val_loss 0.3\n"
        "2023-01-01 10:00:00.123456: Epoch 1\n"
        "2023-01-01 10:00:00.123456: Current learning rate: 0.009\n"
        "2023-01-01 10:02:00.123456: train_loss 0.1\n"
        "2023-01-01 10:02:00.123456: val_loss 0.2\n",
        {'loss': [0.2, 0.1], 'step': [0, 1], 'lr': [0.01, 0.009], 'val_loss': [0.3, 0.2]},
    ),
    "Ultralytics": (
        "      Epoch    GPU_mem   box_loss   cls_loss   dfl_loss  Instances       Size\n"
        "        1/3      3.05G      1.151      1.672      1.234        105        640: 100%|██| 4/4\n"
        "                 Class     Images  Instances      Box(P          R      mAP50  "
        "mAP50-95): 100%|██| 2/2\n"
        "                   all        128        929      0.6       0.5       0.6      0.4\n"
        "\n"
        "      Epoch    GPU_mem   box_loss   cls_loss   dfl_loss  Instances       Size\n"
        "        2/3      3.05G      1.101      1.572      1.134        105        640: 100%|██| 4/4\n",
        {'loss': [4.057, 3.807], 'step': [1, 2]},
    ),
    "YOLOv5": (
        "     Epoch   gpu_mem       box       obj       cls    labels  img_size\n"
        "     0/99     3.61G    0.1151    0.0672    0.0534       105       640: 100%|██| 4/4 "
        "[00:10<00:00]\n"
        "               Class     Images     Labels          P          R     mAP@.5 "
        "mAP@.5:.95: 100%|██| 2/2\n"
        "     1/99     3.61G    0.1051    0.0572    0.0434       105       640: 100%|██| 4/4 "
        "[00:10<00:00]\n",
        {'loss': [0.2357, 0.2057], 'step': [0, 1]},
    ),
    "a total next to heads": (
        "Iteration 50: content loss: 10.0 style loss: 20.0 total loss: 30.0\n"
        "Iteration 100: content loss: 9.0 style loss: 10.0 total loss: 19.0\n",
        {'loss': [30, 19], 'step': [50, 100]},
    ),
    "torchtitan": (
        "[rank0]:[titan] 2024-01-01 10:00:00,123 - root - INFO - step: 10  loss:  8.2  "
        "memory:  10.0GiB(20.1%)  tps: 1,234  tflops: 10.1  mfu: 10.1%\n"
        "[rank0]:[titan] 2024-01-01 10:00:00,123 - root - INFO - step: 20  loss:  7.2  "
        "memory:  10.0GiB(20.1%)  tps: 1,234\n",
        {'loss': [8.2, 7.2], 'step': [10, 20]},
    ),
    "OLMo": (
        "[2024-01-01 10:00:00] INFO [train:100] [step=10/1000]\n"
        "    optim/total_grad_norm=1.5\n"
        "    train/CrossEntropyLoss=8.2\n"
        "    train/Perplexity=3641\n"
        "[2024-01-01 10:00:00] INFO [train:100] [step=20/1000]\n"
        "    optim/total_grad_norm=1.4\n"
        "    train/CrossEntropyLoss=7.2\n"
        "    train/Perplexity=1339\n",
        {'loss': [8.2, 7.2], 'step': [10, 20]},
    ),
    "GPT-NeoX": (
        " samples/sec: 10.1 | iteration       10/  320000 | elapsed time per iteration (ms): "
        "100.1 | learning rate: 1.0E-05 | approx flops per GPU: 10.1TFLOPS | lm_loss: 8.2E+00 "
        "| loss scale: 65536.0 | number of skipped iterations:   0 | number of nan iterations:   0 |\n"
        " samples/sec: 10.1 | iteration       20/  320000 | learning rate: 1.0E-05 | lm_loss: "
        "7.2E+00 |\n",
        {'loss': [8.2, 7.2], 'step': [10, 20], 'lr': [1e-05, 1e-05]},
    ),
    "DeepSpeed's rate between losses": (
        "[2024-01-01 10:00:00,123] [INFO] [logging.py:96:log_dist] [Rank 0] step=10, "
        "skipped=0, lr=[1e-05], mom=[(0.9, 0.95)]\n"
        "steps: 10 loss: 9.2 iter time (s): 0.5\n"
        "[2024-01-01 10:00:00,123] [INFO] [logging.py:96:log_dist] [Rank 0] step=20, "
        "skipped=0, lr=[2e-05], mom=[(0.9, 0.95)]\n"
        "steps: 20 loss: 8.2 iter time (s): 0.5\n",
        {'loss': [9.2, 8.2], 'step': [10, 20], 'lr': [1e-05, 2e-05]},
    ),
}  # fmt: skip


def read(path: Path) -> dict[str, Any]:
    facts, log = read_log(path)
    loss = log.column("loss")
    columns = {name: log.column(name).values for name in ("lr", "val_loss", "grad_norm")}
    return {"loss": loss.values, "step": loss.steps, "loss_unit": facts.loss_unit, **columns}


@pytest.mark.parametrize("name", PRINTED)
def test_what_programs_print_is_read(tmp_path: Path, name: str) -> None:
    text, expected = PRINTED[name]
    path = tmp_path / "train.log"
    path.write_text(text)
    got = read(path)
    for key, value in expected.items():
        if isinstance(value, list):
            assert got[key] == pytest.approx(value, rel=2e-4, nan_ok=True), key
        else:
            assert got[key] == value, key


GAN = "[1/25][0/1583]\tLoss_D: 2.07\tLoss_G: 2.57\tD(x): 0.30\n[1/25][50/1583]\tLoss_D: nan\tLoss_G: nan\tD(x): 0.30\n"
ELBO = "step: 0 train elbo: -1458.6\nstep: 0 valid elbo: -1452.8\nstep: 1000 train elbo: nan\n"
NEGATIVE = "step_78540:\tloss_-4.06\nstep_78560:\tloss_nan\n"


TWO_PLAYERS = "[Batch 1/9] [D loss: 0.69] [G loss: 0.7]\n[Batch 2/9] [D loss: nan] [G loss: nan]\n"


@pytest.mark.parametrize(
    ("text", "steps"), [(GAN, [0, 50]), (TWO_PLAYERS, [1, 2]), (ELBO, [0, 1000]), (NEGATIVE, [78540, 78560])]
)
def test_a_loss_whose_level_says_nothing_still_shows_a_nan(tmp_path: Path, text: str, steps: list[int]) -> None:
    path = tmp_path / "train.log"
    path.write_text(text)
    facts, log = read_log(path)
    assert (facts.loss, facts.signed_step) == ([], steps)
    assert math.isnan(facts.signed_loss[-1])
    assert "loss" in log.absent


def test_the_best_so_far_and_a_time_are_no_loss(tmp_path: Path) -> None:
    path = tmp_path / "train.log"
    path.write_text(
        "Epoch 1 train loss: 0.5 best val loss: 0.3 time cost: 12.5\nEpoch 2 train loss: 0.4 best val loss: 0.3\n"
    )
    _, log = read_log(path)
    assert log.column("loss").values == [0.5, 0.4]
    assert not len(log.column("val_loss"))


def test_heads_without_a_total_are_added(tmp_path: Path) -> None:
    path = tmp_path / "train.log"
    path.write_text(
        "step 1 mask_loss: 0.5 point_loss: 0.7 kl_loss: 9\nstep 2 mask_loss: 0.4 point_loss: 0.6 kl_loss: 99\n"
    )
    facts, log = read_log(path)
    assert facts.loss == pytest.approx([1.2, 1.0])
    assert log.found["loss"] == "mask_loss + point_loss"
    assert any("--map loss=COLUMN" in note for note in log.notes)


def test_heads_that_work_against_each_other_are_read_and_not_judged(tmp_path: Path) -> None:
    path = tmp_path / "train.log"
    path.write_text("step 1 policy_loss: 0.5 value_loss: 0.7\nstep 2 policy_loss: 0.4 value_loss: 0.6\n")
    facts, log = read_log(path)
    assert (facts.loss, facts.signed_loss, log.loss_unit) == ([], [0.5, 0.4], "objective")
    assert "says nothing about progress" in log.absent["loss"]


def test_a_number_of_training_without_the_name_of_a_loss_is_one_unless_it_rises(tmp_path: Path) -> None:
    path = tmp_path / "train.log"
    path.write_text("".join(f"Epoch {k}: Train_rf {0.4854 - 0.0001 * k}   Memory 9.{k}%\n" for k in range(9)))
    facts, log = read_log(path)
    assert (len(facts.loss), log.found["loss"]) == (9, "Train_rf")
    assert any("the only number of training" in note for note in log.notes)
    path.write_text("".join(f"Epoch {k}: Train_rf {0.4854 + 0.01 * k}   Memory 9.{k}%\n" for k in range(9)))
    with pytest.raises(DataError, match="if there is one, name it: --map loss=Train_rf"):
        read_log(path)


@pytest.mark.parametrize(
    "line",
    ["epoch {k}:{loss}", "{k}_{loss}", "[{k}]\ttraining's binary_logloss: {loss}\tvalid_1's binary_logloss: 0.7",
     "epoch {k} done\nloss  |  {loss}  |  0.7"],
    ids=["after a counter", "underscore", "LightGBM", "AllenNLP"],
)  # fmt: skip
def test_further_lines(tmp_path: Path, line: str) -> None:
    path = tmp_path / "train.log"
    path.write_text("".join(line.format(k=k, loss=f"{2.0 - k / 10:.4f}") + "\n" for k in range(1, 5)))
    facts, _ = read_log(path)
    assert facts.step == [1, 2, 3, 4]
    assert facts.loss == pytest.approx([1.9, 1.8, 1.7, 1.6])
    assert not facts.scorings or facts.scorings[""][1] == [0.7] * 4


@pytest.mark.parametrize(
    "line",
    ["Loss at epoch 1 and iteration {k} is {loss}", "loss: ({k}, {loss})", "step: {k},  loss is: {loss}, acc is: 0.5"],
)
def test_further_words_between_name_and_number(tmp_path: Path, line: str) -> None:
    path = tmp_path / "loss.txt"
    path.write_text("".join(line.format(k=k, loss=f"{2.0 - k / 10:.4f}") + "\n" for k in range(1, 5)))
    facts, _ = read_log(path)
    assert facts.step == [1, 2, 3, 4]
    assert facts.loss == pytest.approx([1.9, 1.8, 1.7, 1.6])


def test_numbers_alone_between_other_lines(tmp_path: Path) -> None:
    path = tmp_path / "losses.txt"
    path.write_text("epoch 1\n\n1.738200\n1.806652\n1.345955\n")
    assert read_log(path)[0].loss == [1.7382, 1.806652, 1.345955]


def test_a_csv_of_pairs_is_no_table(tmp_path: Path) -> None:
    path = tmp_path / "train_log.csv"
    path.write_text("".join(f"Epoch: [{k}/9], training loss: {2 - k / 10}, acc: 5{k}%\n" for k in range(1, 5)))
    assert read_log(path)[0].loss == pytest.approx([1.9, 1.8, 1.7, 1.6])


def test_what_stands_before_a_number_is_looked_for_once_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    class Counted:
        searches = 0

        def search(self, text: str) -> re.Match[str] | None:
            self.searches += 1
            return re.search("eval", text)

    counted = Counted()
    monkeypatch.setattr(key_value_log, "SCORED", counted)
    found = key_value_log._pairs("loss=1.5 acc=0.1 " * 1000 + "done, val_loss=2")
    assert found == {"loss": "1.5", "acc": "0.1", "val_loss": "2"}
    assert counted.searches == 1
    assert key_value_log._pairs("loss=3 done")["loss"] == "3"
    assert "val_loss" in key_value_log._pairs("eval done, loss=3")
