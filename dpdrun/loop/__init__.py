"""The closed measurement loop by hand: a waveform to play, the capture that came back, the next waveform."""
