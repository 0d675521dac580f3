"""Where rules take their word from; each is cited by several rules."""

NOTE = "the founding note, 'Improvements for Transformer training' (docs/note.md)"
NOTE_FURTHER = "the founding note, 'Further recommendations' (docs/note.md)"
PLAYBOOK = "Godbole et al., Deep Learning Tuning Playbook (github.com/google-research/tuning_playbook)"
OPENDPD = "OpenDPD 2.4.2, arguments.py (github.com/lab-emi/OpenDPD)"
MEASURED_WIDTHS = (8, 128)  # d_model or units of the networks that we trained; rules from our runs keep to them
TORCH = "torch.optim.AdamW, default arguments"
