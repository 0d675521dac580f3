"""Training programs whose logs are read: what each calls the settings that rules advise, and how it logs more.

Rules write advice in the keys of a dpdrun recipe; `in_words_of` turns it into the words of the program that wrote the
log. Sources: transformers 5.24 and axolotl 0.19 (training_args.py), llamafactory 0.9.5, lightning 2.6.6, torchtune
0.6.1, OpenDPD 2.4.2 (arguments.py): read; Megatron-LM, fairseq, mmengine, Keras, Ultralytics: their documentation.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from dpdrun.rules.engine import Finding

KEY = re.compile(r"\b(?:optim|train|model|data|dpd)\.[a-z_]+\b|\bclip_norm\b(?!=)")
OURS = re.compile(r"`?\bdpdrun\b|safetensors|report\.json|\boptim\.|\btrain\.[a-z]|\bmodel\.[a-z]|\bdata\.[a-z]")
CLAUSE = re.compile(r"; (?![^(]*\))")  # a semicolon that is not in parentheses

# What settings are called where the program is not known, or has no setting of its own.
PLAIN = {
    "optim.lr": "the learning rate",
    "optim.warmup": "the warmup",
    "optim.clip_norm": "the clipping threshold",
    "optim.weight_decay": "the weight decay",
    "optim.schedule": "the schedule",
    "optim.eps": "the eps of Adam",
    "optim.beta2": "the beta2 of Adam",
    "train.batch_size": "the batch size",
    "train.max_steps": "the number of steps",
    "train.epochs": "the number of epochs",
    "train.precision": "the precision",
    "data.split": "the split",
}


@dataclass(frozen=True)
class Program:
    """A training program.

    Attributes:
        name: in JSON; empty where the program is not known.
        title: in text.
        settings: by recipe key, what the program calls it.
        best: how it keeps or restores the best checkpoint.
        bf16: how bf16 is chosen.
        score: how validation scores get into its log.
        see_norm, see_lr, see_loss: how the gradient norm, the learning rate, the training loss get into its log.
        more: how it logs more lines.
        resume: how it continues with the complete state.
        see_nan: how losses that are not finite become visible.
    """

    name: str = ""
    title: str = ""
    settings: Mapping[str, str] = field(default_factory=dict)
    best: str = ""
    bf16: str = "train in bf16 instead of fp16"
    score: str = "log a validation loss"
    see_norm: str = "log the gradient norm before clipping"
    see_lr: str = "log the learning rate"
    see_loss: str = "log the training loss"
    more: str = ""
    resume: str = ""
    see_nan: str = "check the loss for nan at every step"

    def word(self, key: str) -> str | None:
        """Return what a recipe key is called; None where neither the program nor plain English has it."""
        return self.settings.get(key) or PLAIN.get(key)


_HF = {
    "optim.lr": "learning_rate",
    "optim.warmup": "warmup_steps",
    "optim.clip_norm": "max_grad_norm",
    "optim.weight_decay": "weight_decay",
    "optim.schedule": "lr_scheduler_type",
    "optim.eps": "adam_epsilon",
    "optim.beta2": "adam_beta2",
    "train.batch_size": "per_device_train_batch_size",
    "train.max_steps": "max_steps",
    "train.epochs": "num_train_epochs",
}
HUGGING_FACE = Program(
    "huggingface",
    "Hugging Face Trainer",
    _HF,
    best="load_best_model_at_end",
    bf16="set bf16: true instead of fp16",
    score="set eval_strategy: steps and eval_steps",
    see_norm="update transformers: its log has grad_norm from 4.38 on",
    more="lower logging_steps",
    resume="resume_from_checkpoint",
    see_nan="set logging_nan_inf_filter: false and logging_steps: 1",
)
LLAMA_FACTORY = replace(
    HUGGING_FACE,
    name="llamafactory",
    title="LLaMA-Factory",
    score="set val_size and eval_strategy: steps",
    see_norm="diagnose trainer_state.json of the same run, which has grad_norm",
)
LIGHTNING = Program(
    "lightning",
    "Lightning",
    {
        "optim.lr": "lr in configure_optimizers",
        "optim.clip_norm": "gradient_clip_val",
        "train.batch_size": "the batch size (or accumulate_grad_batches)",
        "train.max_steps": "max_steps",
        "train.epochs": "max_epochs",
    },
    best="ModelCheckpoint(monitor=..., mode='min')",
    bf16='set precision="bf16-mixed"',
    score="log a validation loss (validation_step, val_check_interval)",
    see_norm="log grad_norm(self, norm_type=2) in on_before_optimizer_step",
    see_lr="add LearningRateMonitor('step')",
    more="lower log_every_n_steps",
    resume="fit(ckpt_path=...)",
    see_nan="set detect_anomaly=True",
)
TORCHTUNE = Program(
    "torchtune",
    "torchtune",
    {
        "optim.lr": "optimizer.lr",
        "optim.warmup": "lr_scheduler.num_warmup_steps",
        "optim.clip_norm": "clip_grad_norm",
        "optim.weight_decay": "optimizer.weight_decay",
        "train.batch_size": "batch_size",
        "train.max_steps": "max_steps_per_epoch",
        "train.epochs": "epochs",
    },
    bf16="set dtype: bf16",
    see_norm="set clip_grad_norm (inf logs the norm without clipping)",
    more="set log_every_n_steps: 1",
    resume="resume_from_checkpoint: True",
    see_nan="set log_every_n_steps: 1",
)
MEGATRON = Program(
    "megatron",
    "Megatron-LM",
    {
        "optim.lr": "--lr",
        "optim.warmup": "--lr-warmup-iters",
        "optim.clip_norm": "--clip-grad",
        "optim.weight_decay": "--weight-decay",
        "optim.schedule": "--lr-decay-style",
        "optim.eps": "--adam-eps",
        "optim.beta2": "--adam-beta2",
        "train.batch_size": "--global-batch-size",
        "train.max_steps": "--train-iters",
    },
    bf16="set --bf16 instead of --fp16",
    score="set --eval-interval",
    more="lower --log-interval",
    see_nan="set --check-for-nan-in-loss-and-grad",
)
FAIRSEQ = Program(
    "fairseq",
    "fairseq",
    {
        "optim.lr": "--lr",
        "optim.warmup": "--warmup-updates",
        "optim.clip_norm": "--clip-norm",
        "optim.weight_decay": "--weight-decay",
        "optim.schedule": "--lr-scheduler",
        "optim.eps": "--adam-eps",
        "train.batch_size": "--update-freq",
        "train.max_steps": "--max-update",
        "train.epochs": "--max-epoch",
    },
    best="checkpoint_best.pt, --patience",
    bf16="set --bf16 instead of --fp16",
    score="set --validate-interval-updates",
    more="lower --log-interval",
)
MMENGINE = Program(
    "mmengine",
    "mmengine",
    {
        "optim.lr": "optim_wrapper.optimizer.lr",
        "optim.warmup": "the end of LinearLR in param_scheduler",
        "optim.clip_norm": "max_norm in optim_wrapper.clip_grad",
        "optim.weight_decay": "optim_wrapper.optimizer.weight_decay",
        "optim.schedule": "param_scheduler",
        "train.max_steps": "train_cfg.max_iters",
        "train.epochs": "train_cfg.max_epochs",
    },
    best="CheckpointHook(save_best='auto')",
    bf16="set dtype='bfloat16' of AmpOptimWrapper",
    score="set val_interval",
    see_norm="set optim_wrapper.clip_grad=dict(max_norm=...), which logs grad_norm",
)
KERAS = Program(
    "keras",
    "Keras",
    {
        "optim.lr": "learning_rate of the optimizer",
        "optim.clip_norm": "global_clipnorm of the optimizer",
        "optim.weight_decay": "weight_decay of the optimizer",
        "optim.eps": "epsilon of the optimizer",
        "optim.beta2": "beta_2 of the optimizer",
        "train.batch_size": "batch_size",
        "train.epochs": "epochs",
    },
    best="EarlyStopping(restore_best_weights=True)",
    bf16="set the policy mixed_bfloat16",
    score="give fit validation_data or validation_split",
    see_lr="add ReduceLROnPlateau or LearningRateScheduler, which log the learning rate",
    see_nan="add TerminateOnNaN",
)
OPENDPD = Program(
    "opendpd",
    "OpenDPD",
    {
        "optim.lr": "--lr",
        "optim.clip_norm": "--grad_clip_val",
        "train.batch_size": "--batch_size",
        "train.epochs": "--n_epochs",
    },
    best="OpenDPD keeps it by itself",
    see_norm="its history has no gradient norm",
)
NANOGPT = Program(
    "nanogpt",
    "nanoGPT",
    {
        "optim.lr": "learning_rate",
        "optim.warmup": "warmup_iters",
        "optim.clip_norm": "grad_clip",
        "optim.weight_decay": "weight_decay",
        "optim.beta2": "beta2",
        "train.batch_size": "batch_size (or gradient_accumulation_steps)",
        "train.max_steps": "max_iters",
    },
    best="always_save_checkpoint = False",
    bf16="set dtype = 'bfloat16'",
    score="set eval_interval",
    more="lower log_interval",
    see_lr="set wandb_log = True, which logs lr",
)
BUILD_NANOGPT = replace(
    NANOGPT,
    name="build-nanogpt",
    title="build-nanogpt",
    settings={
        "optim.lr": "max_lr",
        "optim.warmup": "warmup_steps",
        "optim.weight_decay": "weight_decay",
        "train.batch_size": "total_batch_size",
        "train.max_steps": "max_steps",
    },
    best="",
    see_norm="diagnose its standard output, which has the norm",
    see_lr="diagnose its standard output, which has the lr",
)
ULTRALYTICS = Program(
    "ultralytics",
    "Ultralytics YOLO",
    {
        "optim.lr": "lr0",
        "optim.warmup": "warmup_epochs",
        "optim.weight_decay": "weight_decay",
        "train.batch_size": "batch",
        "train.epochs": "epochs",
    },
    best="best.pt; patience stops earlier",
    score="set val=True",
)
SPEECHBRAIN = Program("speechbrain", "SpeechBrain", {"optim.lr": "lr", "train.epochs": "number_of_epochs"})
TIMM = Program(
    "timm",
    "timm",
    {
        "optim.lr": "--lr",
        "optim.warmup": "--warmup-epochs",
        "optim.clip_norm": "--clip-grad",
        "optim.weight_decay": "--weight-decay",
        "optim.schedule": "--sched",
        "train.batch_size": "--batch-size",
        "train.epochs": "--epochs",
    },
)
DPDRUN = Program("dpdrun", "dpdrun", {})  # its words are those of the rules
UNKNOWN = Program()

PROGRAMS = {
    each.name: each
    for each in (
        HUGGING_FACE, LLAMA_FACTORY, LIGHTNING, TORCHTUNE, MEGATRON, FAIRSEQ, MMENGINE, KERAS, OPENDPD, NANOGPT,
        BUILD_NANOGPT, ULTRALYTICS, SPEECHBRAIN, TIMM, DPDRUN, UNKNOWN,
    )
}  # fmt: skip

# Whole phrases, before single keys are replaced. A `{name}` is an attribute of Program.
_PHRASES: tuple[tuple[str, str], ...] = (
    (r"check the data first \(`dpdrun data inspect`: ([^)]*)\)", r"check the data first (\1)"),
    (r" ?\(`dpdrun data inspect`: ([^)]*)\)", r" (\1)"),
    (r" ?\(`dpdrun data inspect`\)", ""),
    (r"keep the best checkpoint \(checkpoints/best\.safetensors\)", "keep the best checkpoint{kept}"),
    (r"keep the checkpoint of ((?:step|epoch|line) \d+)", r"keep the checkpoint of \1{kept}"),
    (r"(lower|raise) the learning rate from ", r"\1 {lr} from "),
    (r"lengthen the warmup\b", "lengthen {warmup}"),
    (r"clip the gradient\b", "clip the gradient{clip}"),
    (r"fewer epochs\b", "fewer epochs{epochs}"),
    (r"\(cosine\)", "({schedule})"),
    (r"score held-out samples during training", "score held-out samples during training: {score}"),
    (
        r"(restore the schedule and the optimizer as well as the weights|restore the optimizer, the schedule and the "
        r"data order as well)",
        r"\1{resume}",
    ),
    (r"log every step without the nan filter \(Hugging Face: [^)]*\)", "{see_nan}"),
    (r"(?:set |use )?train\.precision(?: to)? bf16", "{bf16}"),
    (r", and use train\.precision fp32", ", and train in fp32"),
    (r"(?:set |use )?train\.precision(?: to)? fp32", "train in fp32"),
    (r"from optim\.lr ", "from "),
    (r"optim\.schedule cosine", "a cosine"),
    (r"lower optim\.weight_decay \(now 0\)", "lower weight decay"),
    (r"higher optim\.weight_decay \(now 0\)", "higher weight decay"),
    (r"more training data help most \([^)]*\)", "more training data help most"),
    (
        r"score on more samples \(data\.split\) and on complete records \(train\.eval_on record\)",
        "score on more samples",
    ),
    (
        r": a window \(model\.window\) instead of full, .*?train\.burn_in at least the context",
        ": with the same context, positions, initial state and scale",
    ),
    (r"train longer \(train\.epochs\) or with the learning rate of .*", "train longer"),
    (r"switch the linear path on \(model\.skip on\), ", ""),
    (
        r"check that validation gives the network the context it was trained with \(.*?the alignment of the capture",
        "check that validation gives the network the context it was trained with, and the alignment of the capture",
    ),
)


def in_words_of(program: Program, finding: Finding) -> Finding:
    """Return a finding about a log of another program in that program's words.

    What only dpdrun has is left out of the advice. The patch holds settings of the program; nothing can apply it.
    """
    if program is DPDRUN:
        return finding
    patch = {program.settings[key]: value for key, value in finding.patch.items() if key in program.settings}
    advice = [_translated(program, clause) for clause in CLAUSE.split(finding.advice)]
    return replace(
        finding,
        message=_translated(program, finding.message),
        advice="; ".join(clause for clause in advice if clause and not OURS.search(clause)),
        patch=_named(patch),
        fix="none",
    )


def _words(program: Program) -> dict[str, str]:
    """Return what the phrases are filled with; a word in parentheses is left out where the program has none."""
    settings = program.settings

    def added(word: str | None) -> str:
        return f" ({word})" if word else ""

    return {
        "kept": added(program.best),
        "clip": added(settings.get("optim.clip_norm")),
        "epochs": added(settings.get("train.epochs")),
        "resume": added(program.resume),
        "schedule": f"{settings['optim.schedule']} cosine" if "optim.schedule" in settings else "cosine",
        "lr": program.word("optim.lr") or "",
        "warmup": program.word("optim.warmup") or "",
        "bf16": program.bf16,
        "score": program.score,
        "see_nan": program.see_nan,
    }


def _translated(program: Program, text: str) -> str:
    ours = _words(program)
    for phrase, words in _PHRASES:
        text = re.sub(phrase, words.format(**ours) if "{" in words else words, text)

    def word(match: re.Match[str]) -> str:
        key = match.group()
        return program.word(key if "." in key else f"optim.{key}") or key

    return KEY.sub(word, text).strip()


def _named(patch: dict[str, Any]) -> dict[str, Any]:
    """Return what is the name of a setting; one that takes words to describe is in the advice alone."""
    return {key: value for key, value in patch.items() if re.fullmatch(r"[\w.-]+", key)}
