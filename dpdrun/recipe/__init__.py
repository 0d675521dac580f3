"""Recipes: what a training job is, read from YAML, checked as a whole, written back without losing comments."""

from __future__ import annotations

from dpdrun.recipe.loader import Loaded, load_recipe

__all__ = ["Loaded", "load_recipe"]
