"""A recipe and its data as concrete settings, their cost and their lint. Imports rules, models, data and below."""
