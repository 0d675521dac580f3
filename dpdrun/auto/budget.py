"""The size of the predistorter: the largest Transformer of a known good shape within a budget."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from dpdrun.errors import RecipeError
from dpdrun.plan.cost import size_of
from dpdrun.plan.plan import REFINE_PARAMETERS
from dpdrun.recipe.problems import listed
from dpdrun.recipe.schema import TransformerModel

Budget = dict[str, int]  # upper limit of a field of plan.cost.Size, by its name
LIMITS = {"parameters": "parameters", "macs": "macs_per_sample", "bits": "parameters"}
FLOAT_BITS = 32
EXAMPLES = "write parameters=500, macs=2000 or bits=8000"
# The shapes of benchmarks/arena, and those between them: two blocks from 750 parameters on, one below.
TWO_BLOCKS_FROM = 750
WIDTHS = (16, 12, 10, 8, 6, 4)
WINDOWS = {1: 16, 2: 12}  # samples, by blocks
FF_MULTS = (1.0, 0.75, 0.625, 0.5, 0.375)
SHAPE = {"heads": 2, "activation": "bilinear", "norm": "off", "attention_bias": "query", "conv": 5}


def read_budget(texts: Sequence[str], bits: int | None = None) -> Budget:
    """Read `parameters=500`, `macs=2000`, and `bits=8000` of all parameters together.

    Args:
        texts: NAME=MOST each.
        bits: of one parameter on the target; None = floating point.

    Raises:
        RecipeError: a text is something else, or no budget is given.
    """
    found: Budget = {}
    for text in texts:
        name, _, most = text.partition("=")
        if name not in LIMITS or not most.replace("_", "").isdigit() or int(most) < 1:
            what = (
                "a limit has a name and a whole number from 1" if name in LIMITS or not most else f"no limit {name!r}"
            )
            raise RecipeError(f"--budget {text}: {what}; {EXAMPLES}")
        limit = int(most) // (bits or FLOAT_BITS) if name == "bits" else int(most)
        found[LIMITS[name]] = min(limit, found.get(LIMITS[name], limit))
    if not found:
        raise RecipeError(f"--budget: what the target can hold; {EXAMPLES}")
    return found


def budget_text(budget: Budget) -> str:
    """Return a budget in words."""
    return listed([f"{most:,} {name.replace('macs_per_sample', 'MACs per sample')}" for name, most in budget.items()])


def predistorter_model(budget: Budget) -> dict[str, Any]:
    """Return the `model` section of the predistorter.

    Raises:
        RecipeError: the smallest one is beyond the budget.
    """
    limits = {**budget, "parameters": min(budget.get("parameters", REFINE_PARAMETERS), REFINE_PARAMETERS)}
    last = dict[str, Any]()
    for last in _shapes():
        size = size_of(TransformerModel.model_validate(last))
        fits = all(getattr(size, name) <= most for name, most in limits.items())
        if fits and (last["layers"] == 1 or size.parameters >= TWO_BLOCKS_FROM):
            return last
    size = size_of(TransformerModel.model_validate(last))
    raise RecipeError(
        f"--budget: the smallest predistorter has {size.parameters} parameters and {size.macs_per_sample} MACs per "
        f"sample; a budget of {budget_text(budget)} is too small for a Transformer: use a gmp (docs/predistortion.md)"
    )


def _shapes() -> Iterator[dict[str, Any]]:
    """Yield shapes, those of two blocks first, each from large to small."""
    for layers in (2, 1):
        for width in WIDTHS:
            for ff_mult in FF_MULTS:
                yield {"kind": "transformer", "d_model": width, "layers": layers, "window": WINDOWS[layers],
                       "ff_mult": ff_mult, **SHAPE}  # fmt: skip
