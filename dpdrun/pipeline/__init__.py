"""A chain of runs: PA model, predistorters, evaluation; each step skipped, resumed or refused by its inputs."""
