"""Training: `train` is the whole job of a recipe, `loop.fit` the optimization in it."""

from dpdrun.training.job import load_run, train

__all__ = ["load_run", "train"]
