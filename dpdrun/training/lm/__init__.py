"""Levenberg-Marquardt refinement after AdamW."""
