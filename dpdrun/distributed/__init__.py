"""Starting the processes of a run, and what ends them. Imports errors only."""
