"""Alignment of a capture: its output is moved to the sampling instants of its input. Uses the estimators of `rf`."""
