"""What holds for every section of the schema, whoever adds a field."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from dpdrun.recipe.conflicts import conflicts
from dpdrun.recipe.describe import sections_of
from dpdrun.recipe.schema import Recipe, Section


def all_sections(root: type[Section] = Recipe) -> list[type[Section]]:
    found = [root]
    for field in root.model_fields.values():
        for inner in sections_of(field.annotation).values():
            found.extend(all_sections(inner))
    return found


def test_every_section_is_strict_frozen_and_closed() -> None:
    sections = all_sections()
    assert len(sections) >= 8
    for section in sections:
        config = section.model_config
        assert config.get("extra") == "forbid", section
        assert config.get("strict"), section
        assert config.get("frozen"), section
        assert config.get("allow_inf_nan") is False, section
        assert section.__doc__, section


def test_the_shortest_recipe() -> None:
    recipe = Recipe.model_validate(
        {"task": "pa", "data": {"source": "synthetic/mild"}, "model": {"kind": "gru", "hidden": 8}}
    )
    assert conflicts(recipe) == []
    assert recipe.optim.lr == "auto"
    assert float(recipe.optim.lr_end) == 0.0
    with pytest.raises(ValidationError):
        recipe.optim = recipe.optim
