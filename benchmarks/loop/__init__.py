"""The measurement loop on a virtual bench."""
