"""Capture and waveform files, one file per format."""
