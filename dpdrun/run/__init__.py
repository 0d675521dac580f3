"""The run folder and the files in it. Imports the recipe, rf and errors only."""
