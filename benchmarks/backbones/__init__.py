"""Networks of several kinds as models of one amplifier, under one loop."""
