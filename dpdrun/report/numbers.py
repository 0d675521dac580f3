"""How durations and levels are written."""

from __future__ import annotations


def duration(seconds: float) -> str:
    """Return 1:02:03, 2:03 or 4.5 s."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def decibels(value: float | None, *, sign: bool = False) -> str:
    """Return -39.12 dB, or a dash for an unknown value."""
    return "-" if value is None else f"{value:{'+' if sign else ''}.2f} dB"
