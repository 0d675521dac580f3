"""Capture and waveform files, one format a file."""
