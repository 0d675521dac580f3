"""A prediction compared with its target: files, and checks on their error signal."""
