"""Write an OpenDPD command line as a recipe that trains the same way, with the origin of each value.

Source of what the flags do: project.py and steps/train_pa.py of 2.4.2 and of the fork minosoc/OpenDPD.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from dpdrun.errors import RecipeError
from dpdrun.opendpd.arguments import Arguments
from dpdrun.opendpd.backbones import RecipeLines, model_of, origin
from dpdrun.recipe.fields import OFF, Percent
from dpdrun.recipe.patch import render

# Flags that a recipe cannot express.
_LOST = {
    "quant": "dpdrun does not quantize",
    "pretrained_model": "dpdrun starts from random weights",
    "use_segments": "frames are cut from the complete record",
    "lookahead": "dpdrun's loss is on all samples after the burn-in",
    "PA_user_definition": "dpdrun has no network templates",
}
NOTE_FRAMES = 10_000  # by which the founding Transformer note counts its steps: 50 epochs, in batches of 256
MOST_WARMUP = 0.10  # of all steps, by the same note


@dataclass(frozen=True)
class Data:
    """The data of a command: a source of a recipe, the flag that names it, and the length of its training split.

    Exactly one of `train_samples` and `frames` is given; `frames` is the length of a pass, stated by the user.
    """

    source: str
    named_by: str
    train_samples: int | None = None
    frames: int | None = None


@dataclass(frozen=True)
class Length:
    """The number of optimizer steps of OpenDPD, whose loader keeps the last, partial batch."""

    frames: int
    steps_per_epoch: int
    total: int
    why: str


def recipe_lines(arguments: Arguments, data: Data, where: str) -> tuple[dict[str, RecipeLines], list[str]]:
    """Return the sections of the recipe, and remarks on what differs from OpenDPD or from appearances.

    Raises:
        RecipeError: a value that cannot be trained, or a backbone without a counterpart.
    """
    _check(arguments, where)
    sections = {"data": RecipeLines(), "model": model_of(arguments, where)}
    sections["data"].add("source", data.source, data.named_by)
    remarks = list(sections["model"].remarks)
    if sections["model"].lines[0][1] == "gmp":
        sections["train"] = RecipeLines()
        sections["train"].take(arguments, seed="seed")
    else:
        length = length_of(arguments, data, where)
        sections["optim"] = _optim(arguments, length)
        sections["train"] = _train(arguments, length)
        remarks += sections["optim"].remarks + sections["train"].remarks
    remarks += [f"--{flag}: {why}" for flag, why in _LOST.items() if flag in arguments.given and arguments[flag]]
    return sections, remarks


def flag_text(sections: dict[str, RecipeLines], head: list[str], rules: str) -> str:
    """Write the recipe as YAML; `head` are lines of the comment at its top."""
    lines = [*(f"# {line}" for line in head), "task: pa", f"rules: {rules}"]
    for name, section in sections.items():
        lines.append(f"{name}:")
        indent = "  "
        for key, value, comment in section.lines:
            parent, dot, leaf = key.rpartition(".")
            if dot and f"  {parent}:" not in lines:
                lines.append(f"  {parent}:")
            remark = f"  # {comment}" if comment else ""
            lines.append(f"{indent * (2 if dot else 1)}{leaf}: {render(value)}{remark}")
    return "\n".join(lines) + "\n"


def length_of(arguments: Arguments, data: Data, where: str) -> Length:
    """Return the optimizer steps of the run. Frames overlap by frame_length - frame_stride samples."""
    frame, stride = arguments["frame_length"], arguments["frame_stride"]
    if data.frames is not None:
        frames, counted = data.frames, "--samples"
    else:
        samples = data.train_samples or 0
        frames, counted = (samples - frame) // stride + 1, f"({samples} - {frame}) // {stride} + 1 frames"
        if frames < 1:
            raise RecipeError(f"{where}: --frame_length {frame} is longer than the training split ({samples} samples)")
    epochs, batch = arguments["n_epochs"], arguments["batch_size"]
    per_epoch = math.ceil(frames / batch)
    why = f"{epochs} epochs x {per_epoch} batches; {frames} frames / {batch}, {counted}"
    return Length(frames, per_epoch, epochs * per_epoch, why)


def _check(arguments: Arguments, where: str) -> None:
    least = {"lr": 0.0, "decay_factor": 0.0, "batch_size": 1, "n_epochs": 1, "frame_length": 2, "frame_stride": 1}
    least |= {"d_model": 1, "n_heads": 1, "PA_hidden_size": 1, "PA_num_layers": 1, "d_ff": 1, "seed": 0}
    least |= {"warmup_steps": 0, "weight_decay": 0.0, "grad_clip_val": 0.0, "lr_end": 0.0, "patience": 0}
    for flag, low in least.items():
        value = arguments.get(flag)
        strict = flag in ("lr", "decay_factor")
        if value is not None and not (math.isfinite(value) and (value > low if strict else value >= low)):
            raise RecipeError(
                f"{where}: --{flag} {value:g} cannot be trained; it must be {'over' if strict else 'at least'} {low:g}"
            )


def _optim(arguments: Arguments, length: Length) -> RecipeLines:
    section, kind = RecipeLines(), arguments["opt_type"]
    adaptive = kind in ("adam", "adamw")
    if not adaptive:
        section.remarks.append(
            f"--opt_type {kind}: dpdrun trains by AdamW, for which lr, clipping and decay of {kind} do not apply: the "
            "rules set them"
        )
    else:
        section.take(arguments, lr="lr")
        for key, value in (("beta1", 0.9), ("beta2", 0.999), ("eps", 1e-8)):
            section.add(key, value, "built in: PyTorch's default")
        _decay(section, arguments)
        clip = arguments["grad_clip_val"]
        section.add("clip_norm", clip or OFF, f"{origin(arguments, 'grad_clip_val')}; see above")
        section.remarks.append(
            "clip_norm: dpdrun's loss is relative to the power of the output, OpenDPD's is not: gradient norms differ"
        )
    _warmup(section, arguments, length)
    _schedule(section, arguments, adaptive=adaptive)
    return section


def _decay(section: RecipeLines, arguments: Arguments) -> None:
    decay, flag = arguments.get("weight_decay"), origin(arguments, "weight_decay")
    if arguments["opt_type"] == "adamw":
        section.add("weight_decay", (0.01 if decay is None else decay) or OFF, "built in" if decay is None else flag)
    elif decay:
        section.add("weight_decay", decay, f"{flag}; decoupled here, added to the gradient by --opt_type adam")
    else:
        section.add("weight_decay", OFF, "--opt_type adam: AdamW without decay is Adam")


def _warmup(section: RecipeLines, arguments: Arguments, length: Length) -> None:
    warmup = arguments.get("warmup_steps")
    if not warmup:
        section.add("warmup", OFF, "OpenDPD has none" if warmup is None else origin(arguments, "warmup_steps"))
        return
    if warmup > length.total:
        section.add(
            "warmup", Percent(1.0), f"--warmup_steps {warmup} of a run of {length.total}: the warmup never ends"
        )
    else:
        section.add("warmup", warmup, f"{origin(arguments, 'warmup_steps')}, in optimizer steps")
    if arguments.version.fork:
        raised = min(warmup // length.steps_per_epoch, arguments["n_epochs"])
        if raised < warmup:
            peak = render(float(f"{arguments['lr'] * raised / warmup:.2g}"))
            section.remarks.append(
                f"warmup: that fork steps its warmup once an epoch and leaves it after {warmup} batches, so its lr "
                f"never rises above {peak} ({raised}/{warmup} of --lr); this recipe does what the flags say"
            )
    if not {"dataset_name", "dataset_path"} & arguments.given:
        total = arguments["n_epochs"] * math.ceil(NOTE_FRAMES / arguments["batch_size"])
        if length.frames != NOTE_FRAMES and warmup > MOST_WARMUP * total:
            section.remarks.append(
                f"warmup: the command names no data; for the {NOTE_FRAMES} frames of the founding Transformer note the "
                f"run has {total} steps, and {warmup} of warmup are {warmup / total:.0%} of it: the note asks for 5 to "
                "10 % (WU101; "
                f"--samples {NOTE_FRAMES} translates that run)"
            )


def _schedule(section: RecipeLines, arguments: Arguments, *, adaptive: bool) -> None:
    flag = origin(arguments, "lr_schedule")
    if not arguments["lr_schedule"]:
        section.add("schedule", "constant", f"{flag}: --lr_schedule 0")
        return
    share = arguments["lr_end"] / arguments["lr"]
    if share >= 1:
        section.add("schedule", "constant", f"{flag}, but --lr_end is not below --lr: it never decreases")
        section.remarks.append(
            f"schedule: --lr_schedule 1 does nothing: the lowest lr ({origin(arguments, 'lr_end')} --lr_end "
            f"{render(arguments['lr_end'])}) is not below --lr {render(arguments['lr'])}"
        )
        return
    if arguments["decay_factor"] >= 1:
        raise RecipeError(f"--decay_factor {arguments['decay_factor']:g}: PyTorch requires a factor below 1")
    section.add("schedule", "plateau", f"{flag}: ReduceLROnPlateau")
    section.add(
        "lr_end",
        Percent(share),
        f"{origin(arguments, 'lr_end')}: {render(arguments['lr_end'])} / {render(arguments['lr'])}",
    )
    section.take(arguments, **{"plateau.factor": "decay_factor"})
    patience: Any = max(1, round(arguments["patience"]))
    section.add("plateau.patience", patience, f"{origin(arguments, 'patience')}, in evaluations: one an epoch")
    if not adaptive:
        section.remarks.append("lr_end: the same share of the lr that the rules set as of --lr")


def _train(arguments: Arguments, length: Length) -> RecipeLines:
    section, frame = RecipeLines(), arguments["frame_length"]
    section.add("max_steps", length.total, length.why)
    section.take(arguments, batch_size="batch_size", frame="frame_length")
    if arguments.get("last_token_loss"):
        section.add("burn_in", frame - 1, "--last_token_loss")
    else:
        section.add("burn_in", 0, "OpenDPD's loss is on all samples of a frame")
    section.take(arguments, seed="seed")
    section.add("eval_every", length.steps_per_epoch, "once an epoch")
    if arguments.get("eval_match_train_len"):
        section.add("eval_on", "frame", "--eval_match_train_len")
    else:
        section.add("eval_on", "record", "OpenDPD scores segments of nperseg samples, usually the complete split")
    if arguments["loss_type"] != "l2":
        section.remarks.append(f"--loss_type {arguments['loss_type']}: dpdrun minimizes the squared error (l2)")
    return section
