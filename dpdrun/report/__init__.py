"""Rendering: console (rich), plots (matplotlib), serialization. No logic."""
