"""The schema read as data."""

from __future__ import annotations

import pytest

from dpdrun.recipe.describe import expected, field_docs, is_section, sections_of, text_of, words
from dpdrun.recipe.fields import Percent
from dpdrun.recipe.schema import DataSection, ModelSection, OptimSection, Recipe, SplitSection, TrainSection


@pytest.mark.parametrize(
    ("section", "name", "text"),
    [
        (OptimSection, "lr", "a number greater than 0, or auto"),
        (OptimSection, "beta1", "a number of at least 0 and below 1, or auto"),
        (OptimSection, "warmup", "a whole number of at least 1, a percentage such as 7.5%, auto or off"),
        (OptimSection, "lr_end", "a percentage such as 7.5%"),
        (DataSection, "source", "text or a section"),
        (DataSection, "split", "a section, or auto"),
        (TrainSection, "seed", "a whole number of at least 0 and below 2^63"),
        (TrainSection, "compile", "auto, on or off"),
    ],
)
def test_expected_reads_aloud(section: type, name: str, text: str) -> None:
    assert expected(section.model_fields[name]) == text  # type: ignore[attr-defined]


def test_words_are_what_can_be_misspelt() -> None:
    assert words(OptimSection.model_fields["warmup"]) == ("auto", "off")
    assert "cosine" in words(OptimSection.model_fields["schedule"])


def test_sections() -> None:
    assert set(sections_of(ModelSection)) >= {"transformer", "gru", "gmp"}
    assert sections_of(DataSection.model_fields["split"].annotation) == {None: SplitSection}
    assert sections_of(float | None) == {}
    assert is_section(Recipe.model_fields["model"])
    assert is_section(Recipe.model_fields["optim"])
    assert not is_section(DataSection.model_fields["split"])
    assert not is_section(Recipe.model_fields["task"])


def test_field_docs_list_every_field_once_a_kind_with_its_meaning() -> None:
    docs = field_docs()
    keys = [(doc.key, doc.kind) for doc in docs]
    assert len(keys) == len(set(keys)) > 40
    assert {"optim.lr", "data.split.train", "optim.plateau.factor", "model.heads"} <= {doc.key for doc in docs}
    assert {doc.kind for doc in docs if doc.key.startswith("model.")} == {"transformer", "gru", "gmp"}
    assert [doc.key for doc in docs if not doc.description] == []
    source = next(doc for doc in docs if doc.key == "data.source")
    assert source.required
    assert source.name == "source"


def test_no_physical_quantity_has_a_default() -> None:
    physical = [doc for doc in field_docs() if doc.key.endswith(("_hz", "_dbm"))]
    assert physical
    assert {doc.default for doc in physical} == {"auto", "off"}  # no number


def test_text_of() -> None:
    assert text_of(Percent("7.5%")) == "7.5%"
    assert text_of(None) == ""
    assert text_of(SplitSection.model_validate({})) == "{train: 60%, val: 20%, test: 20%, guard: auto}"
