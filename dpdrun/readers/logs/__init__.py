"""Training logs of other programs, one format a file (`formats` finds it), and what the rules see of them."""
