"""dpdrun from Python: a run, its scores and its findings as objects. Imports every other room but `commands`."""
