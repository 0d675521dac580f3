"""Training logs of other programs, one format a file (`formats` finds it), and the facts that rules see."""
