"""Sweeps: many runs from one recipe, by workers that pull trials; imports training and what it imports."""
