"""What is wrong with a run, a log of another program or a prediction, and its repair. Imports plan and below."""
