"""A command line or script of OpenDPD as a recipe. Imports data, recipe and below."""
