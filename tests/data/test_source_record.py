from __future__ import annotations

from dataclasses import FrozenInstanceError, fields

import numpy as np
import pytest

from dpdrun.data.capture import Part, SourceRecord


def test_what_a_source_does_not_say_is_none() -> None:
    part = Part(np.ones(3, complex), np.ones(3, complex))
    reading = SourceRecord(name="a", records=(part,))
    facts = {field.name for field in fields(SourceRecord)} - {"name", "records", "licence", "note", "warnings"}
    assert {"sample_rate_hz", "bandwidth_hz", "nperseg", "cuts", "ratios"} <= facts
    assert all(getattr(reading, fact) is None for fact in facts)
    with pytest.raises(FrozenInstanceError):
        reading.sample_rate_hz = 1.0  # type: ignore[misc]
