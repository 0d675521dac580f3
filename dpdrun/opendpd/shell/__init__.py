"""The commands of a shell script, read and never run."""
