"""Pipelines of runs: PA models, predistorters, evaluation; each step skipped, resumed or refused by its inputs."""
