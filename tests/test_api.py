"""`import dpdrun`."""

from __future__ import annotations

import pytest

import dpdrun


def test_every_public_name_is_found() -> None:
    assert len(dpdrun.__all__) > 6
    for name in dpdrun.__all__:
        assert getattr(dpdrun, name) is not None
        assert name in dir(dpdrun)
    assert callable(dpdrun.load_recipe)


def test_other_names_are_refused() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = dpdrun.nothing
