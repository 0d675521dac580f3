"""Training logs that other people published, with labels made by looking: is `dpdrun diagnose` right about them?"""
