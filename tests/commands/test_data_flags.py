from __future__ import annotations

import inspect
from typing import get_type_hints

import pytest

from dpdrun.commands._data_flags import DATA_FIELDS, NONE_GIVEN, DataFlags, data_section, flag_of, takes_data_flags
from dpdrun.errors import DataError, RecipeError
from dpdrun.recipe.schema import DataSection


def command(source: str, flags: DataFlags = NONE_GIVEN, force: bool = False) -> None:
    calls.append((source, flags, force))


calls: list[tuple[str, DataFlags, bool]] = []


def test_a_command_takes_every_flag_but_those_omitted() -> None:
    of_all, of_some = takes_data_flags(command), takes_data_flags(command, omitted=("output",))
    assert [*inspect.signature(of_all).parameters] == ["source", *get_type_hints(DataFlags), "force"]
    assert "output" not in inspect.signature(of_some).parameters


def test_a_command_receives_what_was_given() -> None:
    calls.clear()
    takes_data_flags(command)(source="a.mat", columns="I,Q", no_check_rates=True, force=True)
    assert calls == [("a.mat", DataFlags(columns="I,Q", no_check_rates=True), True)]


def test_flags_become_the_section_of_a_recipe() -> None:
    flags = DataFlags(2e6, 1e6, 1.1e6, input="u", output="v", columns="u,v", no_check_rates=True)
    section = flags.section("a.csv")
    assert section.model_dump(exclude_defaults=True) == {"source": "a.csv"} | flags.given()
    assert set(flags.given()) == set(DATA_FIELDS) <= set(DataSection.model_fields)
    assert NONE_GIVEN.section("a.csv") == DataSection(source="a.csv")


def test_a_wrong_flag_is_named_as_it_was_typed() -> None:
    with pytest.raises(RecipeError, match="--bandwidth-hz must be a positive number, not -1"):
        DataFlags(bandwidth_hz=-1).given()
    with pytest.raises(RecipeError, match="--input-signal: expected a name"):
        data_section("a.mat", {"input": ""})
    with pytest.raises(DataError, match="name a source"):
        data_section("", {})
    assert flag_of("check_rates") == "--no-check-rates"
