"""RF maths on numpy arrays: metrics, spectrum, noise floor. The sample rate is always an argument."""
