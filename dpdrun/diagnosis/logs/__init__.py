"""Training logs of other programs, one file per format (`formats` chooses it), and the facts for the rules."""
