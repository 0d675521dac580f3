"""Predistortion: cascade with a PA model, ILC, target gain, limiter, objective. Imports plan and below."""
