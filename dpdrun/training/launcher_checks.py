"""What a launcher may decide, and what the recipe alone does.

How many processes there are, where, and on what device is the launcher's. Whatever decides the weights is the recipe's,
so that a run does not depend on how it was started: `train.batch_size` is that of all processes together, and each gets
an equal share.
"""

from __future__ import annotations

import os

from dpdrun.errors import RunError
from dpdrun.plan.plan import Plan
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


def reject_launcher_conflicts(recipe: Recipe) -> None:
    """Refuse a launcher that asks for another training than the recipe. Raises RunError."""
    asked = [name for variable, name in FOREIGN.items() if os.environ.get(variable, "").lower() in ("1", "true")]
    if asked:
        raise RunError(
            f"accelerate was told to use {', '.join(asked)}: dpdrun divides batches between processes and, with "
            "train.shard: fsdp in the recipe, the state of training; a model with a state (a GRU, a window) cannot be "
            "cut along time; choose multi-GPU or multi-CPU in `accelerate config`"
        )
    mixed, passes = os.environ.get(PRECISION, "no"), os.environ.get(PASSES, "1")
    if mixed not in ("no", recipe.train.precision):
        raise RunError(
            f"accelerate was told to use mixed precision {mixed}, the recipe says train.precision "
            f"{recipe.train.precision}: write it in the recipe, or --mixed_precision no"
        )
    if passes not in ("1", str(recipe.train.accumulate)):
        raise RunError(
            f"accelerate was told to accumulate {passes} passes, the recipe says train.accumulate "
            f"{recipe.train.accumulate}: write it in the recipe, or --gradient_accumulation_steps 1"
        )


def check_machine(loaded: Loaded) -> None:
    """Refuse a recipe that this machine cannot train. Raises RecipeError at the field."""
    if why := precision.impossible(loaded.recipe.train.precision):
        raise loaded.error([("train.precision", why)])


def ignored_settings(plan: Plan, processes: int) -> list[str]:
    """What a plan asks for that changes nothing on this machine, in words. The results are not worse for it."""
    found = [precision.passed_over(plan.recipe.train.precision)]
    if plan.recipe.train.shard == "fsdp" and processes == 1:
        found.append("train.shard fsdp: one process holds everything; use --processes to divide it")
    return [text for text in found if text]
