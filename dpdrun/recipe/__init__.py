"""Recipes: read from YAML, checked as a whole, written back with their comments. Imports errors only."""
