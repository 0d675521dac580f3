"""Captures (the input and output of an amplifier) and where they come from. See docs/data.md."""
