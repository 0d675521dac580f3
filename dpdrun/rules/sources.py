"""Where rules take their word from; each is cited by several rules."""

NOTE_TITLE = "the founding note"
NOTE = f"{NOTE_TITLE}, 'Improvements for Transformer training' (docs/note.md)"
NOTE_FURTHER = f"{NOTE_TITLE}, 'Further recommendations' (docs/note.md)"
PLAYBOOK = "Godbole et al., Deep Learning Tuning Playbook (github.com/google-research/tuning_playbook)"
OPENDPD = "OpenDPD 2.4.2, arguments.py (github.com/lab-emi/OpenDPD)"
# What our rules rest on; they keep to it. Widths: of the sweep over learning rates.
MEASURED_WIDTHS = (8, 64)
CASE_STUDY_D_MODEL = 16  # of the recipe whose causes were put back one by one, three seeds each
ADAM_SETTLES = "Ma & Yarats 2021, 'On the adequacy of untuned warmup for adaptive optimization': 2/(1 - beta2) steps"
TORCH = "torch.optim.AdamW, default arguments"
