"""Percentages."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from dpdrun.recipe.fields import Percent

ADAPTER = TypeAdapter(Percent)


@given(st.integers(0, 10_000))
def test_what_is_written_is_what_is_shown(hundredths: int) -> None:
    text = f"{hundredths / 100:g}%"
    value = ADAPTER.validate_python(text)
    assert float(value) == pytest.approx(hundredths / 10_000, abs=1e-15)
    assert str(value) == repr(value) == text
    assert ADAPTER.dump_python(value, mode="json") == text


@pytest.mark.parametrize("bad", ["7.5", "%", "-1%", "1e1%", "101%", 0.5, 1, True, None, "7.5 % x", "nan%"])
def test_anything_else_is_refused(bad: object) -> None:
    with pytest.raises(ValidationError):
        ADAPTER.validate_python(bad)


def test_the_constructor_takes_fractions_and_refuses_other_text() -> None:
    assert str(Percent(0.075)) == "7.5%"
    with pytest.raises(ValueError, match="not a percentage"):
        Percent("half")
