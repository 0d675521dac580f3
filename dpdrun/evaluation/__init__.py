"""Scores of a model on a capture: next to baselines on the same samples, the noise floor, and other PA models.

Imports diagnosis, dpd and below. A predistorter is scored in front of its PA model, against that PA model without it at
the same output power.
"""
