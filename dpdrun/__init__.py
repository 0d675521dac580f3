"""dpdrun: train Transformers for RF power-amplifier modelling and digital predistortion, with measured advice.

The names below are imported on first use, so `import dpdrun` costs nothing and loads no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dpdrun.api.advice import recommend
    from dpdrun.api.diagnosis import Diagnosis, diagnose
    from dpdrun.api.results import Advice, Plot, Scores
    from dpdrun.api.run import Predistorter, Run, load_run
    from dpdrun.api.training import evaluate, train, train_dpd
    from dpdrun.data.capture import Capture
    from dpdrun.errors import DpdrunError
    from dpdrun.plan.plan import make_plan
    from dpdrun.recipe.loader import load_recipe

__version__ = "0.2.0"
__all__ = [
    "Advice",
    "Capture",
    "Diagnosis",
    "DpdrunError",
    "Plot",
    "Predistorter",
    "Run",
    "Scores",
    "__version__",
    "diagnose",
    "evaluate",
    "load_recipe",
    "load_run",
    "make_plan",
    "recommend",
    "train",
    "train_dpd",
]

_HOME = {
    **dict.fromkeys(("Diagnosis", "diagnose"), "dpdrun.api.diagnosis"),
    **dict.fromkeys(("evaluate", "train", "train_dpd"), "dpdrun.api.training"),
    **dict.fromkeys(("Advice", "Plot", "Scores"), "dpdrun.api.results"),
    **dict.fromkeys(("Predistorter", "Run", "load_run"), "dpdrun.api.run"),
    "Capture": "dpdrun.data.capture",
    "DpdrunError": "dpdrun.errors",
    "load_recipe": "dpdrun.recipe.loader",
    "make_plan": "dpdrun.plan.plan",
    "recommend": "dpdrun.api.advice",
}


def __getattr__(name: str) -> Any:
    if name == "plugins":  # a package, which this imports and so sets
        return importlib.import_module("dpdrun.plugins")
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
