"""The rules. Importing this package enters all of them into the catalogue.

Codes: a family (LR, WU, CL, ...) and three digits, never reused. 0xx derives a recipe value, 1xx checks a plan, 2xx
diagnoses a run.
"""

from dpdrun.rules import plan, run

__all__ = ["plan", "run"]
