"""Alignment of a capture: its output brought onto the instants of its input. Uses the estimators of `rf`."""
