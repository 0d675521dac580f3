"""Sources that several rules cite."""

from dpdrun.recipe.fields import Percent
from dpdrun.rules.conditions import Within

NOTE_TITLE = "the founding Transformer note"
NOTE = f"{NOTE_TITLE}, 'Improvements for Transformer training' (docs/note.md)"
NOTE_FURTHER = f"{NOTE_TITLE}, 'Further recommendations' (docs/note.md)"
PLAYBOOK = "Godbole et al., Deep Learning Tuning Playbook (github.com/google-research/tuning_playbook)"
OPENDPD = "OpenDPD 2.4.2, arguments.py (github.com/lab-emi/OpenDPD)"
# What our rules rest on; they keep to it. Widths: of the sweeps over learning rates.
MEASURED_WIDTHS = (8, 256)
MEASURED_UNITS = (8, 64)  # of a GRU
SWEPT_WIDTHS = {"d_model": Within(*MEASURED_WIDTHS)}
SWEPT_UNITS = {"hidden": Within(*MEASURED_UNITS)}
SWEEP_WARMUP = Percent("5%")
SWEEPS = "our learning-rate sweeps on two captures and a synthetic amplifier (make regret)"
WORTH = "our runs with and without this rule (make worth)"
WORTH_TABLE = "docs/results.md#what-each-rule-is-worth"
ADAM_SETTLES = "Ma & Yarats 2021, 'On the adequacy of untuned warmup for adaptive optimization': 2/(1 - beta2) steps"
TORCH = "torch.optim.AdamW, default arguments"
