"""Settings of all tests."""

from __future__ import annotations

from hypothesis import settings

# No test asserts a time: a slow or busy machine must not turn a right answer red.
settings.register_profile("dpdrun", deadline=None)
settings.load_profile("dpdrun")
