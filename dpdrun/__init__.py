"""dpdrun: train Transformers for RF power-amplifier modelling and digital predistortion, with measured advice.

The names below are imported on first use, so `import dpdrun` costs nothing and loads no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dpdrun.diagnosis.diagnose import diagnose
    from dpdrun.evaluation.assessment import evaluate
    from dpdrun.plan.plan import make_plan
    from dpdrun.recipe.loader import load_recipe
    from dpdrun.training.job import train

__version__ = "0.1.0"
__all__ = ["__version__", "diagnose", "evaluate", "load_recipe", "make_plan", "train"]

_HOME = {
    "diagnose": "dpdrun.diagnosis.diagnose",
    "evaluate": "dpdrun.evaluation.assessment",
    "load_recipe": "dpdrun.recipe.loader",
    "make_plan": "dpdrun.plan.plan",
    "train": "dpdrun.training.job",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
