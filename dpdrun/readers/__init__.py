"""What other people's files say, in our words: one format a file. Nothing that is read here is ever run."""
