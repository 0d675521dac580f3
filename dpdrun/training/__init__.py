"""Training: `job.train` runs a recipe, `loop.fit` is the optimization in it. Imports report, evaluation and below."""
