"""The plain values that rules see: of a plan, of a run, of a signal."""
