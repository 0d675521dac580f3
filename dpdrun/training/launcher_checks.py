"""Checks the settings of a launcher, and of the machine, against the recipe.

A launcher decides how many processes there are, where, and on what device. What decides the weights is in the recipe,
so that a run does not depend on how it was started: `train.batch_size` is that of all processes together, and each gets
an equal share.
"""

from __future__ import annotations

import os

import torch

from dpdrun.errors import RunError
from dpdrun.recipe.loader import Loaded
from dpdrun.recipe.schema import Recipe
from dpdrun.training import precision

# What Accelerate's launcher and config files put in the environment for other ways to divide a model than by batches
FOREIGN = {
    "ACCELERATE_USE_FSDP": "FSDP",
    "ACCELERATE_USE_DEEPSPEED": "DeepSpeed",
    "ACCELERATE_USE_MEGATRON_LM": "Megatron-LM",
    "ACCELERATE_USE_PARALLELISM_CONFIG": "a parallelism config (tensor, context or sequence parallel)",
}
PRECISION, PASSES = "ACCELERATE_MIXED_PRECISION", "ACCELERATE_GRADIENT_ACCUMULATION_STEPS"
DYNAMO = "ACCELERATE_DYNAMO_BACKEND"


def reject_launcher_conflicts(recipe: Recipe) -> None:
    """Refuse a launcher whose settings ask for another training than the recipe. Raises RunError."""
    train, foreign = recipe.train, [name for variable, name in FOREIGN.items() if _is_on(variable)]
    if foreign:
        raise RunError(
            f"accelerate launch requests {', '.join(foreign)}: dpdrun divides only the batch between processes; a "
            "stateful model (GRU, window) cannot be split along time; choose multi-GPU or multi-CPU in "
            "`accelerate config`"
        )
    mixed, passes = os.environ.get(PRECISION, "no"), os.environ.get(PASSES, "1")
    if mixed not in ("no", train.precision):
        raise RunError(
            f"accelerate launch requests mixed precision {mixed}, the recipe has train.precision {train.precision}: "
            "write it in the recipe, or --mixed_precision no"
        )
    if passes not in ("1", str(train.accumulate)):
        raise RunError(
            f"accelerate launch requests {passes} accumulated passes, the recipe has train.accumulate "
            f"{train.accumulate}: write it in the recipe, or --gradient_accumulation_steps 1"
        )
    backend = os.environ.get(DYNAMO, "no").lower()
    if backend not in ("", "no") and train.compile != "on":
        raise RunError(
            f"accelerate launch requests compilation (--dynamo_backend {backend}), the recipe has train.compile "
            f"{train.compile}: write train.compile: on in the recipe, or --dynamo_backend no"
        )


def _is_on(variable: str) -> bool:
    return os.environ.get(variable, "").lower() in ("1", "true")


def check_machine(loaded: Loaded) -> None:
    """Refuse a recipe that this machine cannot train. Raises RecipeError at the field."""
    train = loaded.recipe.train
    if train.device == "mps":
        unverified = "train.device mps: results on Apple GPUs were never verified; write auto or cpu"
        raise loaded.error([("train.device", unverified)])
    if train.device == "cuda" and not torch.cuda.is_available():
        raise loaded.error([("train.device", "train.device cuda: torch finds no CUDA GPU; write auto or cpu")])
    if why := precision.impossible(train.precision, train.device):
        raise loaded.error([("train.precision", why)])
