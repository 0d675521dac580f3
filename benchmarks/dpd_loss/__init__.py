"""Does a loss over the spectrum pay for a small predistorter?"""
